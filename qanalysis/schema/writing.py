"""Writing: files appear whole or not at all, what is no plain file is never replaced, and a folder has one writer."""

import contextlib
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from qanalysis.schema.errors import UserError
from qanalysis.schema.paths import expanded

_LOCK, _HOLDER = ".in-use", ".in-use.json"


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes the file when all went well; on a full disk the old file stays.

    A link is followed. A device or a pipe is written to as it is: it cannot be written whole.
    """
    if _is_special(path):
        yield path
        return
    target = Path(os.path.realpath(path))
    partial = target.with_name(target.name + ".part")
    try:
        yield partial
        partial.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):  # on a full disk its bytes are needed to say so
            partial.unlink(missing_ok=True)
        raise


def save_text(path: Path, text: str) -> None:
    """Writes a text file."""
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def check(path: Path, option: str) -> Path:
    """The path with `~` filled in, if a file can be written there: asked before anything takes long.

    Args:
        path: of the file.
        option: what names it, for the error.

    Raises:
        UserError: if it is a folder, its folder is not there, or it may not be written.
    """
    path = expanded(path)
    if path.is_dir():
        raise UserError(f"{option}: {path} is a folder; name a file.")
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise UserError(f"{option}: there is no folder {folder}")
    there = path.exists()
    if not os.access(path if there else folder, os.W_OK) or (not _is_special(path) and not os.access(folder, os.W_OK)):
        raise UserError(f"{option}: {path} cannot be written; check the permissions.")
    return path


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Holds a folder for this process; it is made if it is not there, and free again when the process ends, however.

    Raises:
        UserError: if another process holds it, saying which, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise UserError(f"{folder} is in use by {_holder(folder)}: wait for it, or name another folder.") from None
    except FileExistsError:
        raise UserError(f"{folder} is a file, not a folder: name another.") from None
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}): name another folder.") from None
    try:
        (folder / _HOLDER).write_text(json.dumps({"pid": os.getpid(), "since": time.time()}))
        yield
    finally:
        for name in (_HOLDER, _LOCK):
            with contextlib.suppress(OSError):
                (folder / name).unlink()
        lock.release()


def _holder(folder: Path) -> str:
    try:
        known = json.loads((folder / _HOLDER).read_text())
        since = time.strftime("%H:%M:%S", time.localtime(known["since"]))
        return f"process {int(known['pid'])} since {since}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
