"""Sections of `docs/results.md`: each script rewrites its own and leaves the others as they are."""

from pathlib import Path


def write(path: Path, name: str, text: str) -> None:
    """Replaces the section of this name, or adds it at the end."""
    start, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->\n"
    section = f"{start}{text.rstrip()}\n\n{end}"
    known = path.read_text() if path.exists() else ""
    if start in known:
        before, _, rest = known.partition(start)
        after = rest.partition(end)[2]
        path.write_text(before + section + after)
    else:
        path.write_text(known + ("\n" if known else "") + section)
