"""Paths: where files may be read, and that what is read is a file or a folder, not a device or a pipe.

The command line reads whatever its user may read. A process that works for the dashboard reads what lies in the folders
that the server was started with, whatever a page or an address asks for.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
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


def _within(path: Path, folders: tuple[Path, ...]) -> bool:
    try:
        resolved = Path(os.path.realpath(path))
    except (OSError, ValueError):
        return False
    return any(resolved.is_relative_to(root) for root in folders)


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 160 else f"{text[:60]}…{text[-99:]}"
