"""Curves of accuracy over numbered plans, with intervals, beside the lines of fp32 and of the accepted loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from qanalysis.figures.accuracy import DEEPEST, WORDS, window
from qanalysis.figures.labels import ROOM, Level, across, beside, beside_points, margin
from qanalysis.figures.theme import PALETTES, Theme, axis, layout, line, precision_colour
from qanalysis.schema.result import Metric
from qanalysis.schema.sensitivity import Change, Partial

#: What a percentage is, in running words.
NOUNS: dict[Metric, str] = {"accuracy": "accuracy", "agreement": "agreement with fp32"}

#: Height of a figure, and of what is above and below its plot, in px.
HEIGHT, TOP, BOTTOM = 400, 36, 52


@dataclass(frozen=True)
class Curve:
    """Measured plans in a row.

    Attributes:
        name: in the legend.
        x: positions.
        changes: what was measured, one each.
        hovers: words, one each.
        colour: of line and marks.
        symbol: of the marks.
        dash: of the line.
        width: of the line, in px.
    """

    name: str
    x: Sequence[float]
    changes: Sequence[Change]
    hovers: Sequence[str]
    colour: str
    symbol: str
    dash: str = "solid"
    width: float = 2


@dataclass(frozen=True)
class Mark:
    """A ring around a point, and words beside it."""

    x: float
    accuracy: float
    words: str


def references(fp32: float, target: float, quantized: float | None, theme: Theme) -> list[Level]:
    """Lines at fp32, at the accepted loss (in % relative to fp32) and at all sites quantized; accuracies in %."""
    palette = PALETTES[theme]
    goal = fp32 * (1 - target / 100)
    found = [
        Level(fp32, f"fp32 {fp32:.2f} %", precision_colour("fp32", theme), 2),
        Level(goal, f"{target:g} % loss: {goal:.2f} %", palette.clipping, 1.5, "dot"),
    ]
    if quantized is not None:
        found.append(Level(quantized, f"all quantized {quantized:.2f} %", palette.text, 1.2, "dash"))
    return found


def chosen(partial: Partial, layers: int | None = None) -> list[Mark]:
    """The mark of the step that was chosen, if there is one; `layers` is how many there are in all."""
    if partial.chosen is None:
        return []
    step = partial.steps[partial.chosen]
    count = len(step.skipped)
    words = f"skip {count}" if layers is None else f"skip {count} of {layers}"
    return [Mark(count, step.accuracy, words if count else "skip none")]


def drawn(
    curves: Sequence[Curve],
    *,
    fp32: float,
    target: float,
    quantized: float | None,
    metric: Metric,
    title: str,
    last: int,
    theme: Theme,
    marks: Sequence[Mark] = (),
) -> go.Figure:
    """Curves from 0 to `last`, lines and marks; what is below the axis (see `accuracy.window`) lies on its bottom.

    Args:
        curves: at least one with points.
        fp32: accuracy in floating point, in %.
        target: loss to accept, in % relative to fp32.
        quantized: accuracy with all sites quantized, in %.
        metric: what accuracies are.
        title: of the horizontal axis.
        last: largest number shown.
        theme: light or dark.
        marks: points to ring and name.
    """
    palette = PALETTES[theme]
    levels = references(fp32, target, quantized, theme)
    span = _span([change for curve in curves for change in curve.changes], fp32, target)
    height = HEIGHT - TOP - BOTTOM
    shapes, words = across(levels, span, height)
    view = (-0.6, max(last, 1) + 0.6)
    rings = {
        "type": "scatter",
        "mode": "markers",
        "x": [mark.x for mark in marks],
        "y": [max(mark.accuracy, span[0]) for mark in marks],
        "marker": {"symbol": "circle-open", "size": 19, "color": palette.text, "line": {"width": 2}},
        "hoverinfo": "skip",
        "showlegend": False,
    }

    def share(x: float, accuracy: float) -> tuple[float, float]:
        down = (span[1] - max(accuracy, span[0])) / (span[1] - span[0])
        return (x - view[0]) / (view[1] - view[0]), down

    points = [share(mark.x, mark.accuracy) for mark in marks]
    ringed = {(mark.x, mark.accuracy) for mark in marks}
    others = [(x, c.accuracy) for curve in curves for x, c in zip(curve.x, curve.changes, strict=True) if x <= last]
    offsets = beside_points(
        [*points, *(share(*other) for other in others if other not in ringed)],
        [mark.words for mark in marks],
        (ROOM, height),
        near=13,
    )
    for mark, offset in zip(marks, offsets, strict=True):
        look = {"bgcolor": palette.page, "borderpad": 1, "standoff": 10, "font": {"color": palette.text, "size": 13}}
        at = max(mark.accuracy, span[0])
        words.append(beside(f"<b>{mark.words}</b>", palette.text, mark.x, at, offset, near=13, **look))
    return go.Figure(
        {
            "data": [
                *(_trace(curve, fp32, theme) for curve in curves),
                *_below(curves, span[0]),
                *([rings] if marks else []),
            ],
            "layout": layout(
                theme,
                height=HEIGHT,
                margin={"t": TOP, "r": margin(levels), "l": 68, "b": BOTTOM},
                shapes=shapes,
                annotations=words,
                xaxis=axis(theme, title, range=list(view), showgrid=False, **({"dtick": 1} if last <= 30 else {})),
                yaxis=axis(theme, WORDS[metric], range=list(span)),
            ),
        }
    )


def told(change: Change, fp32: float, metric: Metric) -> list[str]:
    """The measured accuracy in words, in lines of a hover text."""
    low, high = change.interval
    return [
        f"{NOUNS[metric]} {change.accuracy:.2f} %: {change.accuracy - fp32:+.2f} points, "
        f"{change.relative:+.2f} % of fp32",
        f"95 % interval of the change {low:+.2f} to {high:+.2f} points" + (": no measurable loss" if high >= 0 else ""),
    ]


def _span(changes: Sequence[Change], fp32: float, target: float) -> tuple[float, float]:
    low, high = window(
        fp32, [c.accuracy for c in changes], [(fp32 + c.interval[0], fp32 + c.interval[1]) for c in changes]
    )
    goal = fp32 * (1 - target / 100)
    return (min(low, goal - 0.06 * (high - goal)) if target <= DEEPEST else low), high


def _trace(curve: Curve, fp32: float, theme: Theme) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": curve.name,
        "x": list(curve.x),
        "y": [change.accuracy for change in curve.changes],
        "line": line(curve.colour, curve.width, curve.dash),
        "marker": {
            "symbol": curve.symbol,
            "size": 8,
            "color": curve.colour,
            "line": {"width": 1, "color": PALETTES[theme].page},
        },
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [max(fp32 + change.interval[1] - change.accuracy, 0) for change in curve.changes],
            "arrayminus": [max(change.accuracy - fp32 - change.interval[0], 0) for change in curve.changes],
            "color": curve.colour,
            "thickness": 1,
            "width": 3,
        },
        "hovertext": list(curve.hovers),
        "hoverinfo": "text",
    }


def _below(curves: Sequence[Curve], low: float) -> list[dict[str, Any]]:
    """Marks on the bottom of the axis for what is below it."""
    deep = [
        (x, hover, curve.colour)
        for curve in curves
        for x, change, hover in zip(curve.x, curve.changes, curve.hovers, strict=True)
        if change.accuracy < low
    ]
    if not deep:
        return []
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [x for x, _, _ in deep],
            "y": [low] * len(deep),
            "marker": {"symbol": "triangle-down", "size": 11, "color": [colour for _, _, colour in deep]},
            "hovertext": [hover for _, hover, _ in deep],
            "hoverinfo": "text",
            "cliponaxis": False,
            "showlegend": False,
        }
    ]
