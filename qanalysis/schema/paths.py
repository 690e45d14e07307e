"""Paths: where files may be read, and that what is read is a file or a folder, not a device or a pipe.

The command line reads whatever its user may read. A process that works for the dashboard reads what lies in the folders
that the server was started with, whatever a page or an address asks for.
"""

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qanalysis.schema.catalog import home, samples_folder
from qanalysis.schema.errors import UserError

#: Folders that pages may read, separated as in PATH; set when the server is started.
ROOTS = "QANALYSIS_ROOTS"
_LONGEST = 4096

_confined: ContextVar[tuple[Path, ...] | None] = ContextVar("confined", default=None)


def roots() -> tuple[Path, ...]:
    """The folders that pages may read: those of `QANALYSIS_ROOTS`, else the working folder; with home and samples."""
    named = [Path(part).expanduser() for part in os.environ.get(ROOTS, "").split(os.pathsep) if part]
    return tuple(Path(os.path.realpath(root)) for root in (*(named or [Path.cwd()]), home(), samples_folder()))


@contextmanager
def confined() -> Iterator[None]:
    """Within it, this module's functions refuse what lies outside of `roots`."""
    token = _confined.set(roots())
    try:
        yield
    finally:
        _confined.reset(token)


def expanded(text: str | Path) -> Path:
    """A path with `~` filled in.

    Raises:
        UserError: if it cannot be a path: too long, with a NUL character, or of a user who does not exist.
    """
    text = str(text)
    if len(os.fsencode(text)) > _LONGEST:
        raise UserError(f"A path of {len(text):,} characters is too long: {text[:40]}…")
    if "\0" in text:
        raise UserError(f"A path cannot hold a NUL character: {text[:80]!r}.")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UserError(f"There is no home folder for the ~ in {text[:200]}: write the whole path.") from None


def allowed(path: Path) -> bool:
    """Whether pages may read it: it lies, links followed, in one of `roots`. The path itself is not looked at."""
    return _within(path, roots())


def checked(text: str | Path) -> Path:
    """A path that this process may read, `~` filled in; whether there is anything is not looked at.

    Raises:
        UserError: if it cannot be a path, or lies outside of the folders that this process is confined to.
    """
    path = expanded(text)
    confinement = _confined.get()
    if confinement is not None and not _within(path, confinement):
        raise UserError(outside(str(text)))
    return path


def outside(text: str) -> str:
    """The sentence about a path that pages may not read; the same whether there is such a file or not."""
    shown = text if len(text) <= 80 else f"{text[:79]}…"
    return (
        f"{shown} is outside of the folders that this server reads: start it with {ROOTS}=FOLDER to add one, "
        "or use the command line."
    )


def kind(path: Path) -> Literal["file", "folder", "other", "nothing"]:
    """What a path leads to; nothing, too, where it cannot be looked at. It is never opened."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return "nothing"
    if stat.S_ISREG(mode):
        return "file"
    return "folder" if stat.S_ISDIR(mode) else "other"


def file(text: str | Path, what: str = "file") -> Path:
    """An ordinary file that this process may read.

    Args:
        text: its path.
        what: what it should be, for the error.

    Raises:
        UserError: if there is none, or it is a folder, a device or a pipe, or may not be read.
    """
    path = checked(text)
    found = kind(path)
    if found == "file":
        return path
    if found == "nothing":
        at = "" if what == "file" else " at"
        raise UserError(f"There is no {what}{at} {_short(path)}.")
    reason = "a folder" if found == "folder" else "a device, a pipe or a socket"
    raise UserError(f"{_short(path)} is {reason}, not a file: name the {what} itself.")


def folder(text: str | Path, what: str = "this") -> Path:
    """A folder that this process may read.

    Raises:
        UserError: if there is none, or it is no folder, or may not be read.
    """
    path = checked(text)
    if kind(path) != "folder":
        if kind(path) == "nothing":
            raise UserError(f"There is no folder {_short(path)}.")
        raise UserError(f"{_short(path)} is not a folder, but {what} must be one.")
    return path


#: Sources of models and data whose names hold a path.
FILES = ("checkpoint", "imagefolder", "npz", "coco", "masks", "pairs")
#: Sources whose names hold a path or an id elsewhere.
HUBS = ("hf",)
#: Options of names that are a path, by source.
_OPTIONS = {
    "imagefolder": ("calibration",),
    "torchvision": ("root",),
    "coco": ("annotations", "images"),
}


def named(name: str) -> tuple[str, ...]:
    """The paths of files and folders in a name of a model or of data, as they are written there."""
    source, _, rest = name.strip().partition(":")
    path, _, query = rest.partition("?")
    options = dict(part.partition("=")[::2] for part in query.split("&"))
    given = (options.get(option, "") for option in _OPTIONS.get(source, ()))
    if source in HUBS:
        path = path.partition("@")[0]
    here = source in FILES or (source in HUBS and is_path(path))
    return tuple(part for part in (path if here else "", *given) if part)


def is_path(text: str) -> bool:
    """Whether the name of what may be an id elsewhere, `owner/name`, is a path: it begins like one, or it is there."""
    if text.startswith(("/", "./", "../", "~")) or text in (".", ".."):
        return True
    try:
        return kind(expanded(text)) != "nothing"
    except UserError:
        return False


@dataclass(frozen=True)
class Entry:
    """A file under a folder.

    Attributes:
        path: the folder's path and its own.
        size: in bytes.
        modified: time of its last change, in ns.
    """

    path: Path
    size: int
    modified: int


def walk(root: Path, unreadable: Callable[[Path], None] | None = None) -> Iterator[Entry]:
    """All files under a folder, sorted; links to folders elsewhere are followed, each of these once.

    A link that leads back into the folder is passed over: what it leads to is met in its own place. So are hidden files
    and folders, and links that lead nowhere.

    Args:
        root: the folder.
        unreadable: told of folders that cannot be listed.
    """
    top, elsewhere = os.path.realpath(root), set[str]()
    confinement = _confined.get()

    def of(folder: Path) -> Iterator[Entry]:
        try:
            with os.scandir(folder) as listing:
                entries = sorted((entry for entry in listing if not entry.name.startswith(".")), key=lambda e: e.name)
        except OSError:
            if unreadable is not None:
                unreadable(folder)
            return
        for entry in entries:
            try:
                if entry.is_dir():
                    if entry.is_symlink():
                        real = os.path.realpath(entry.path)
                        inside = Path(real).is_relative_to(top) or Path(top).is_relative_to(real)
                        if inside or any(Path(real).is_relative_to(known) for known in elsewhere):
                            continue
                        elsewhere.add(real)
                    yield from of(Path(entry.path))
                elif entry.is_file():
                    if entry.is_symlink() and confinement is not None and not _within(Path(entry.path), confinement):
                        continue
                    status = entry.stat()
                    yield Entry(Path(entry.path), status.st_size, status.st_mtime_ns)
            except OSError:  # gone in the meantime, or a loop of links
                continue

    return of(root)


def fingerprint(path: Path) -> list[object] | str | None:
    """What identifies the content: of a file its time and size, of a folder all its files'; None if there is nothing.

    That of a folder is remembered for a moment: pages ask for it again and again.
    """
    found = kind(path)
    if found == "file":
        status = path.stat()
        return [status.st_mtime_ns, status.st_size]
    if found != "folder":
        return None
    real = os.path.realpath(path)
    known = _folders.get(real)
    if known is not None and time.monotonic() < known[0]:
        return known[1]
    start, content = time.monotonic(), hashlib.sha256()
    for entry in walk(path):
        content.update(os.fsencode(f"{entry.path.relative_to(path)}\0{entry.size}\0{entry.modified}\n"))
    took = time.monotonic() - start
    _folders[real] = (time.monotonic() + max(2.0, 20 * took), content.hexdigest())
    while len(_folders) > 16:
        _folders.pop(next(iter(_folders)))
    return _folders[real][1]


_folders: dict[str, tuple[float, str]] = {}


def _within(path: Path, folders: tuple[Path, ...]) -> bool:
    try:
        resolved = Path(os.path.realpath(path))
    except (OSError, ValueError):
        return False
    return any(resolved.is_relative_to(root) for root in folders)


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 160 else f"{text[:60]}…{text[-99:]}"
