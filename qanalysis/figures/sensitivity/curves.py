"""Curves of accuracy over numbered plans, with intervals, beside the lines of fp32 and of the accepted loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import plotly.graph_objects as go

from qanalysis.figures.look.labels import ROOM, ROW, Level, across, margin, text_width
from qanalysis.figures.look.scales import DEEPEST, window
from qanalysis.figures.look.theme import PALETTES, Theme, annotation, axis, layout, line, precision_colour
from qanalysis.insight.words import metric_axis, metric_noun
from qanalysis.numerics.change import relative
from qanalysis.schema.results.common import Metric
from qanalysis.schema.results.sensitivity import Partial

#: What a percentage is, in running words.


#: Height of a figure, and of what is above and below its plot, in px.
HEIGHT, TOP, BOTTOM = 400, 36, 52


class Measured(Protocol):
    """A plan's accuracy in %, and the 95 % interval of its difference from fp32 in points."""

    @property
    def accuracy(self) -> float: ...  # noqa: D102

    @property
    def change_interval(self) -> tuple[float, float]: ...  # noqa: D102


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
        width: of the line, in px; 0 for none.
    """

    name: str
    x: Sequence[float]
    changes: Sequence[Measured]
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
    """Curves from 0 to `last`, lines and marks; what is below the axis (see `look.scales.window`) lies on its bottom.

    Args:
        curves: at least one with points.
        fp32: accuracy in floating point, in %.
        target: loss to accept, in % relative to fp32.
        quantized: accuracy with all sites quantized, in %.
        metric: what accuracies are.
        title: of the horizontal axis.
        last: largest number shown.
        theme: light or dark.
        marks: points to ring and name, at most two; none says that no step was good enough.
    """
    levels = references(fp32, target, quantized, theme)
    ends = span([change for curve in curves for change in curve.changes], fp32, target)
    shapes, words = across(levels, ends, HEIGHT - TOP - BOTTOM)
    view = (-0.6, max(last, 1) + 0.6)
    drops, names = _named(marks, ends, view, theme)
    return go.Figure(
        {
            "data": [*traces(curves, fp32, ends, theme), *rings(marks, ends, theme)],
            "layout": layout(
                theme,
                height=HEIGHT,
                margin={"t": TOP, "r": margin(levels), "l": 68, "b": BOTTOM},
                shapes=[*drops, *shapes],
                annotations=[*words, *names],
                xaxis=axis(theme, title, range=list(view), showgrid=False, **({"dtick": 1} if last <= 30 else {})),
                yaxis=axis(theme, metric_axis(metric), range=list(ends)),
            ),
        }
    )


def told(measured: Measured, fp32: float, metric: Metric) -> list[str]:
    """The measured accuracy in words, in lines of a hover text."""
    low, high = measured.change_interval
    change, share = measured.accuracy - fp32, relative(measured.accuracy, fp32)
    return [
        f"{metric_noun(metric)} {measured.accuracy:.2f} %: {change:+.2f} points, {share:+.2f} % of fp32",
        f"95 % interval of the change {low:+.2f} to {high:+.2f} points" + (": no measurable loss" if high >= 0 else ""),
    ]


def span(measured: Sequence[Measured], fp32: float, target: float) -> tuple[float, float]:
    """Ends of the axis of accuracies, in %: of `window`, and the accepted loss if it is not extreme."""
    intervals = [(fp32 + m.change_interval[0], fp32 + m.change_interval[1]) for m in measured]
    low, high = window(fp32, [m.accuracy for m in measured], intervals)
    goal = fp32 * (1 - target / 100)
    return (min(low, goal - 0.06 * (high - goal)) if target <= DEEPEST else low), high


def traces(curves: Sequence[Curve], fp32: float, ends: tuple[float, float], theme: Theme) -> list[dict[str, Any]]:
    """Curves with their intervals, and marks on the bottom of the axis for what is below it."""
    return [*(_trace(curve, fp32, theme) for curve in curves), *_below(curves, ends[0])]


def rings(marks: Sequence[Mark], ends: tuple[float, float], theme: Theme) -> list[dict[str, Any]]:
    """Rings around points."""
    if not marks:
        return []
    ring = {"symbol": "circle-open", "size": 19, "color": PALETTES[theme].text, "line": {"width": 2}}
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [mark.x for mark in marks],
            "y": [max(mark.accuracy, ends[0]) for mark in marks],
            "marker": ring,
            "hoverinfo": "skip",
            "showlegend": False,
        }
    ]


def _named(
    marks: Sequence[Mark], ends: tuple[float, float], view: tuple[float, float], theme: Theme
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A line from each ring down to its words on the bottom, where no curve is that rises; shapes and annotations."""
    palette = PALETTES[theme]
    base: dict[str, Any] = {"y": 0, "yref": "paper", "yanchor": "bottom", "bgcolor": palette.page, "borderpad": 1}
    if not marks:
        corner: dict[str, Any] = {"x": 1, "xref": "paper", "xanchor": "right"}
        return [], [annotation("no step reaches the accepted loss", palette.text, **corner, **base)]
    by_x = {mark.x: mark for mark in marks}
    drops, notes = [], []
    for i, x in enumerate(sorted(by_x)):
        text = f"<b>{by_x[x].words}</b>"
        before = (x - view[0]) / (view[1] - view[0]) * ROOM  # px
        room = before > text_width(by_x[x].words) + 12
        first_of_two = i == 0 and len(by_x) > 1
        left = room and (first_of_two or before > 0.6 * ROOM)
        side: dict[str, Any] = {"xanchor": "right", "xshift": -5} if left else {"xanchor": "left", "xshift": 5}
        raised = ROW if first_of_two and not left else 0
        notes.append(annotation(text, palette.text, x=x, yshift=raised, **side, **base))
        ring = 10 / (HEIGHT - TOP - BOTTOM) * (ends[1] - ends[0])
        top = max(by_x[x].accuracy, ends[0]) - ring
        look = line(palette.text, 1, "dot")
        drops.append({"type": "line", "x0": x, "x1": x, "y0": ends[0], "y1": max(top, ends[0]), "line": look})
    return drops, notes


def _trace(curve: Curve, fp32: float, theme: Theme) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers" if curve.width else "markers",
        "name": curve.name,
        "x": list(curve.x),
        "y": [change.accuracy for change in curve.changes],
        "line": line(curve.colour, curve.width or 1, curve.dash),
        "marker": {
            "symbol": curve.symbol,
            "size": 8 if curve.width else 11,
            "color": curve.colour,
            "line": {"width": 1, "color": PALETTES[theme].page},
        },
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [max(fp32 + change.change_interval[1] - change.accuracy, 0) for change in curve.changes],
            "arrayminus": [max(change.accuracy - fp32 - change.change_interval[0], 0) for change in curve.changes],
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
