"""Open files: every visit takes some, and a server that has no more of them answers nobody."""

import sys

_WANTED = 8192


def allow_open_files() -> int | None:
    """Raises this process' soft limit of open files as far as the system allows, and returns it; None on Windows."""
    if sys.platform == "win32":
        return None
    import resource  # not there on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED if hard == resource.RLIM_INFINITY else min(_WANTED, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS refuses more than its kernel has
        return soft
    return wanted
