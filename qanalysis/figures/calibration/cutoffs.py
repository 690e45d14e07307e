"""Cutoff lines over an axis of values, with labels above the plot that never overlap (the dashed lines of Fig. 2).

A label is a flag: its line goes up from the axis, and its words stand beside the top of the line, to the right of it
or, near the right edge, to the left. Flags that would touch are staggered into rows so that no line runs through words.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from qanalysis.figures.look.labels import text_width
from qanalysis.figures.look.theme import (
    CLEAR,
    CUSTOM,
    PALETTES,
    Theme,
    annotation,
    calibration_colour,
    calibration_dash,
    faded,
    line,
)
from qanalysis.insight.words import calibration_label

#: Height of a row of labels and space between a line and its words, in px.
ROW, FLAG = 19, 5

#: Height of a plot with cutoffs, in px: lines reach from it up to their labels.
PLOT_HEIGHT = 270


@dataclass(frozen=True)
class Placement:
    """Where a label stands: its row above the plot, counted from 0, and on which side of its line."""

    row: int
    side: Literal["left", "right"]


@dataclass(frozen=True)
class Marks:
    """Shapes and annotations for one `update_layout`, and the height of the labels above the plot in px."""

    shapes: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    height: int = 0


def place(positions: Sequence[float], widths: Sequence[float], length: float) -> tuple[Placement, ...]:
    """Places labels so that none touches another and no line runs through one.

    What fits on an axis of `length` px fits on every longer one, since labels only move apart.

    Args:
        positions: of the lines along the axis, in px, in any order.
        widths: of the labels, in px.
        length: of the axis in px.

    Returns:
        A placement for each label, in the order given.
    """
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    sides: dict[int, Literal["left", "right"]] = {}
    start_of_left = math.inf  # where the left-going labels placed so far begin
    for i in reversed(order):
        fits = positions[i] + widths[i] <= min(length, start_of_left)
        sides[i] = "right" if fits else "left"
        if not fits:
            start_of_left = min(start_of_left, positions[i] - widths[i])
    rows: dict[int, int] = {}
    # A label must be above those whose lines rise within it: to its right where it goes right, to its left otherwise.
    for side, sequence, sign in (("right", order[::-1], 1), ("left", order, -1)):
        placed: list[int] = []
        for i in sequence:
            if sides[i] == side:
                touched = [rows[j] for j in placed if sign * (positions[j] - positions[i]) < widths[i]]
                rows[i] = 1 + max(touched, default=-1)
                placed.append(i)
    return tuple(Placement(rows[i], sides[i]) for i in range(len(positions)))


def coincident(cutoffs: Mapping[str, float | None]) -> list[tuple[float, list[str]]]:
    """Cutoffs with the names that share each, in the order given; None (an all-zero tensor) is left out."""
    groups: list[tuple[float, list[str]]] = []
    for name, cutoff in cutoffs.items():
        if cutoff is None:
            continue
        for value, names in groups:
            if math.isclose(value, cutoff, rel_tol=1e-6):
                names.append(name)
                break
        else:
            groups.append((cutoff, [name]))
    return groups


def marks(
    cutoffs: Mapping[str, float | None],
    *,
    theme: Theme,
    span: tuple[float, float],
    room: float,
    custom: float | None = None,
    mirrored: bool = False,
    lows: Mapping[str, float] | None = None,
) -> Marks:
    """Lines and labels of all cutoffs; the custom one is a thick line with a filled label in a row of its own.

    The rows of the others do not depend on where the custom cutoff is, so that nothing jumps while it moves.

    Args:
        cutoffs: by name of the calibration, in the axis's unit.
        theme: light or dark.
        span: first and last value on the axis.
        room: narrowest axis, in px, on which labels must not overlap.
        custom: the reader's own cutoff.
        mirrored: draw every line at minus the cutoff, too; the label stays at plus.
        lows: by name, where the mirror image is instead: the lower end of an affine range.
    """
    groups = coincident(cutoffs)
    texts = [" = ".join(calibration_label(name) for name in names) for _, names in groups]
    placements = place(
        [_pixel(value, span, room) for value, _ in groups], [text_width(text) + FLAG + 8 for text in texts], room
    )
    first_row = 0 if custom is None else 1
    result = Marks(height=ROW * (first_row + 1 + max((p.row for p in placements), default=-1)))
    largest = max((value for value, _ in groups), default=1.0)
    for (value, names), placement in zip(groups, placements, strict=True):
        colour = calibration_colour(names[0], theme)
        level = ROW * (placement.row + first_row)
        look = line(colour, 2, calibration_dash(names[0]))
        low = (lows or {}).get(names[0], -value) if mirrored else None
        result.shapes.append(_vertical(value, level + ROW - 4, look, span, low))
        words = " = ".join(_span(calibration_label(name), calibration_colour(name, theme)) for name in names)
        share = f"{100 * value / largest:.4g} % of the largest cutoff"
        hover = f"{' = '.join(calibration_label(name) for name in names)}: {value:.6g}<br>{share}"
        result.annotations.append(_flag(words, value, level, placement.side, colour, hover))
    if custom is not None:
        _add_custom(result, custom, theme, span, room, mirrored)
    return result


def clipped(cutoff: float, span: tuple[float, float], theme: Theme, mirrored: bool) -> list[dict[str, Any]]:
    """Shading of what lies beyond a cutoff."""
    edges = [(cutoff, span[1])] + ([(span[0], -cutoff)] if mirrored else [])
    path = "".join(f"M{a:.8g},0V1H{b:.8g}V0Z" for a, b in edges if b > a)
    if not path:
        return []
    look = {"fillcolor": faded(PALETTES[theme].clipping, 0.16), "line": {"width": 0, "color": CLEAR}}
    return [{"type": "path", "path": path, "xref": "x", "yref": "paper"} | look]


def _add_custom(
    result: Marks, custom: float, theme: Theme, span: tuple[float, float], room: float, mirrored: bool
) -> None:
    palette = PALETTES[theme]
    colour = calibration_colour(CUSTOM, theme)
    text = f"custom {custom:.4g}"
    side: Literal["left", "right"] = "right" if _pixel(custom, span, room) + text_width(text) + 16 <= room else "left"
    result.shapes.append(_vertical(custom, ROW, line(colour, 3), span, -custom if mirrored else None))
    chip = _flag(text, custom, 0, side, palette.page, f"the cutoff you chose: {custom:.6g}")
    result.annotations.append(chip | {"bgcolor": colour, "borderpad": 1, "xshift": 0})


def _pixel(value: float, span: tuple[float, float], room: float) -> float:
    return (value - span[0]) / (span[1] - span[0]) * room


def _span(text: str, colour: str) -> str:
    return f'<span style="color:{colour}">{text}</span>'


def _vertical(
    x: float, above: float, look: dict[str, Any], span: tuple[float, float], low: float | None
) -> dict[str, Any]:
    """A line through the plot and on to its label, `above` px over it; one shape with the line at the other end."""
    path = f"M{x:.8g},{1 + above / PLOT_HEIGHT:.4f}V0"  # downwards, so that a dash and no gap is at the label
    if low is not None and low >= span[0]:
        path += f"M{low:.8g},1V0"
    return {"type": "path", "path": path, "xref": "x", "yref": "paper", "line": look}


def _flag(text: str, x: float, level: int, side: str, colour: str, hover: str) -> dict[str, Any]:
    beside = {"xanchor": "left", "xshift": FLAG} if side == "right" else {"xanchor": "right", "xshift": -FLAG}
    place_ = {"x": x, "xref": "x", "y": 1, "yref": "paper", "yanchor": "bottom", "yshift": level}
    return annotation(text, colour, hovertext=hover, **place_, **beside)
