"""Summary: a job in the few words that fit a line."""

from qanalysis.schema.base import Record
from qanalysis.schema.command import given
from qanalysis.schema.params.task import TaskParams


def settings(params: TaskParams) -> dict[str, str]:
    """Parameters that are not at their default, as text, without model and data; long ones are cut."""
    return {
        name.replace("_", " "): _text(value) for name, value in given(params).items() if name not in ("model", "data")
    }


def duration(seconds: float) -> str:
    """Seconds as a person says them: `4 s`, `2 min 05 s`, `3 h 12 min`, `2 d 4 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def size(count: float) -> str:
    """Bytes as a person says them: `820 B`, `1.2 MB`."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Record):
        return str(getattr(value, "name", type(value).__name__))
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 200 else text[:199] + "…"
