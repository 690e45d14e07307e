"""Errors: what a person can act on. Anything else that is raised is a fault of this program, and is shown as one."""

#: A sentence is one line of at most this many characters, whatever names and files it quotes.
LONGEST = 300
MEMORY = "Out of memory: use a smaller batch size or fewer samples, and run it anew."
GPU_MEMORY = "The GPU is out of memory: use a smaller batch size, or end what else runs on it, and run it anew."


class UserError(ValueError):
    """A sentence about what was asked for or handed over, and what to do about it; shown as it is, without a traceback.

    A `ValueError`, so that callers of the library need not know this class.
    """


class StoreError(UserError):
    """The store of jobs cannot be read or written: a full disk, no permission, a damaged or newer database."""


class UnknownJobError(UserError, KeyError):
    """There is no job of that id; it may have been deleted."""

    __str__ = ValueError.__str__  # a KeyError's own shows its argument as Python writes it


def sentence(error: BaseException) -> str | None:
    """What to tell a person about an error, on one line; None if it is a fault of this program.

    A `UserError` has its own words; those of the system name the file; and memory runs out for reasons of settings.
    """
    text = str(error)
    if isinstance(error, UserError):
        return shortened(text)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return shortened(f"{where}{error.strerror or text}.")
    if isinstance(error, MemoryError) or "allocate memory" in text or "not enough memory" in text:
        return MEMORY
    if isinstance(error, RuntimeError) and "out of memory" in text:
        return GPU_MEMORY if "CUDA" in text else MEMORY
    return None


def fault(error: BaseException) -> str:
    """What to tell of an error that is none of the person's."""
    text = shortened(str(error), 160)
    return f"This is a fault of qanalysis, not of what you asked for: {type(error).__name__}: {text}"


def shortened(text: str, longest: int = LONGEST) -> str:
    """On one line, without control characters, the middle left out where it is too long."""
    line = " ".join("".join(c if c.isprintable() or c.isspace() else "?" for c in text).split())
    if len(line) <= longest:
        return line
    head = (longest - 1) * 2 // 3
    return f"{line[:head]}…{line[len(line) - (longest - 1 - head) :]}"
