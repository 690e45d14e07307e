"""Series: things of one kind side by side, such as runs or layers, each with a colour, a mark and words at its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qanalysis.figures.look.labels import ROW, spread, text_width
from qanalysis.figures.look.theme import Theme, annotation, faded

#: Colours with a contrast of at least 3 to the page, and marks that tell the same where colours cannot.
COLOURS: dict[Theme, tuple[str, ...]] = {
    "light": ("#2a62c4", "#c2410c", "#0a7f62", "#8e3fb0", "#8a6d00", "#b8245f", "#0e7490", "#475569"),
    "dark": ("#79aaff", "#ff9b63", "#3fd6a8", "#d09af2", "#e8d25a", "#ff86b8", "#5fd3e8", "#b8c4d6"),
}
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "pentagon", "star", "hexagon", "cross")
#: Names longer than this are cut at the end of a line.
LONGEST = 44


def colour(number: int, theme: Theme) -> str:
    """Colour of a series by its place among those shown; they repeat after eight."""
    return COLOURS[theme][number % len(COLOURS[theme])]


def symbol(number: int) -> str:
    """Mark of a series; repeats one later than the colours do, so that the pair is new for a long time."""
    return SYMBOLS[(number + number // len(SYMBOLS)) % len(SYMBOLS)]


@dataclass(frozen=True)
class End:
    """Words to the right of the plot for a line that ends at `value`."""

    value: float
    words: str
    colour: str


def ends(lines: Sequence[End], span: tuple[float, float], height: float) -> list[dict[str, Any]]:
    """Annotations right of the plot, moved apart where they would touch, with a thin line to the height they mean.

    Args:
        lines: what to name.
        span: ends of the vertical axis.
        height: of the plot, in px.
    """
    low, high = span
    inside = [min(max(line.value, low), high) for line in lines]
    wanted = [(high - value) / (high - low) * height for value in inside]
    notes = []
    for line, value, at, place in zip(lines, inside, wanted, spread(wanted, ROW, (0, height)), strict=True):
        beside: dict[str, Any] = {"x": 1, "xref": "paper", "y": value, "yref": "y", "xanchor": "left"}
        beside |= {"showarrow": True, "arrowhead": 0, "arrowwidth": 1, "arrowcolor": faded(line.colour, 0.7)}
        beside |= {"standoff": 0, "ax": 16, "ay": place - at, "borderpad": 0}
        notes.append(annotation(cut(line.words), line.colour, **beside))
    return notes


def room(lines: Sequence[End]) -> int:
    """Width in px of the margin that `ends` needs."""
    return 28 + round(max((text_width(cut(line.words)) for line in lines), default=0))


def cut(words: str, most: int = LONGEST) -> str:
    """Words that fit beside a plot."""
    return words if len(words) <= most else words[: most - 1].rstrip(" ·") + "…"


def air(values: Sequence[float], least: float = 1e-3) -> tuple[float, float]:
    """Ends of an axis around values, with a little space; at least so wide.

    >>> air([1.0, 2.0])
    (0.92, 2.08)
    """
    low, high = min(values, default=0.0), max(values, default=1.0)
    space = 0.08 * max(high - low, least)
    return low - space, high + space
