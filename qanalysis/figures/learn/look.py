"""Large type for the lessons: the theme's layout, axes and words at a size that is read from the last row."""

from typing import Any

from qanalysis.figures.look import theme as plain
from qanalysis.figures.look.theme import PALETTES, Theme

#: Size of words in a figure of a lesson, in px.
SIZE = 16


def layout(theme: Theme, **extra: Any) -> dict[str, Any]:
    """The layout that all figures share, in large type."""
    base = plain.layout(theme, **extra)
    base["font"] = base["font"] | {"size": SIZE}
    base["hoverlabel"] = base["hoverlabel"] | {"font": {"color": PALETTES[theme].text, "size": SIZE}}
    base["legend"] = base["legend"] | {"font": {"size": SIZE}}
    return base


def axis(theme: Theme, title: str = "", **extra: Any) -> dict[str, Any]:
    """An axis in large type, `extra` over it."""
    base = plain.axis(theme, title)
    base["title"]["font"] = base["title"]["font"] | {"size": SIZE}
    base["tickfont"] = base["tickfont"] | {"size": SIZE - 2}
    return base | extra


def words(text: str, colour: str, **extra: Any) -> dict[str, Any]:
    """Words without an arrow, in large type."""
    return {"text": text, "showarrow": False, "font": {"color": colour, "size": SIZE}} | extra


def bare() -> dict[str, Any]:
    """What an axis has that shows nothing."""
    return {"showgrid": False, "showticklabels": False, "ticks": ""}
