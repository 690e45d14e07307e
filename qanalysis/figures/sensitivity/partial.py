"""Partial quantization: accuracy against layers left in floating point (Fig. 3, Table 6), and what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import plotly.graph_objects as go

from qanalysis.figures.look.labels import ROOM, across, beside, beside_points, margin, shortened
from qanalysis.figures.look.theme import PALETTES, Theme, axis, blank, faded, layout, precision_colour
from qanalysis.figures.sensitivity import curves
from qanalysis.figures.sensitivity.curves import BOTTOM, HEIGHT, TOP, Curve, chosen, drawn, told
from qanalysis.figures.sensitivity.scales import round_step
from qanalysis.insight.words import metric_axis
from qanalysis.schema.results.common import Metric
from qanalysis.schema.results.sensitivity import Partial

HOW_TO_READ = {
    "steps": (
        "From left to right one more layer stays in floating point; every point was measured, with its 95 % interval "
        "of the change from fp32. The ringed point is the first that reaches the dotted line: the fewest layers to "
        "skip for the loss you accept."
    ),
    "tradeoff": (
        "To the right more of the multiply-accumulates run in integers, upwards accuracy is higher, so the best plans "
        "are in the upper right corner. The line is partial quantization step by step, diamonds are the plans you "
        "pinned; a plan with another one to its upper right is not worth having."
    ),
}


_NAMES = {"order": "in order of sensitivity", "greedy": "greedy search"}


@dataclass(frozen=True)
class Pin:
    """A plan that the reader keeps for comparison.

    Attributes:
        name: of the plan.
        accuracy: in %.
        change_interval: 95 % interval of accuracy - fp32, in points.
        int8_mac_share: share of multiply-accumulates quantized, in %.
        model_bytes: predicted size of the model.
    """

    name: str
    accuracy: float
    change_interval: tuple[float, float]
    int8_mac_share: float
    model_bytes: int


def steps(
    partial: Partial,
    *,
    fp32: float,
    target: float,
    metric: Metric,
    greedy: Partial | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Accuracy by number of skipped layers, in the order of sensitivity and by greedy search.

    Args:
        partial: the measured steps.
        fp32: accuracy in floating point, in %.
        target: loss to accept, in % relative to fp32.
        metric: what accuracies are.
        greedy: a second search to compare with.
        theme: light or dark.
    """
    searches = [search for search in (partial, greedy) if search is not None and search.steps]
    if not searches:
        return blank("No step has been measured yet.", theme, 400)
    every = [step for search in searches for step in search.steps]
    marks = list(dict.fromkeys(mark for search in searches for mark in chosen(search)))
    return drawn(
        [steps_curve(search, fp32, metric, _NAMES[search.search], theme) for search in searches],
        fp32=fp32,
        target=target,
        quantized=next((step.accuracy for step in every if not step.skipped), None),
        metric=metric,
        title="layers left in floating point",
        last=max(len(step.skipped) for step in every),
        theme=theme,
        marks=marks,
    )


def tradeoff(
    partial: Partial | None,
    pins: Sequence[Pin],
    *,
    fp32: float,
    target: float,
    metric: Metric,
    theme: Theme = "light",
) -> go.Figure:
    """Accuracy against the share of multiply-accumulates in integers, 100 % at the right: the best is upper right.

    Args:
        partial: steps of partial quantization, a line.
        pins: plans to compare, labelled.
        fp32: accuracy in floating point, in %.
        target: loss to accept, in % relative to fp32.
        metric: what accuracies are.
        theme: light or dark.
    """
    measured = () if partial is None else partial.steps
    if not measured and not pins:
        return blank("No plan has been measured yet: pin one, or run partial quantization.", theme, HEIGHT)
    palette = PALETTES[theme]
    lines: list[Curve] = []
    marks = []
    if partial is not None and measured:
        line = steps_curve(partial, fp32, metric, "one more layer skipped at each step", theme)
        lines.append(replace(line, x=[step.int8_mac_share for step in measured]))
        marks = [replace(mark, x=measured[int(mark.x)].int8_mac_share) for mark in chosen(partial)]
    if pins:
        shares = [pin.int8_mac_share for pin in pins]
        hovers = [_pinned(pin, fp32, metric) for pin in pins]
        lines.append(Curve("pinned plans", shares, pins, hovers, precision_colour("int8", theme), "diamond", width=0))
    levels = curves.references(fp32, target, None, theme)
    ends = curves.span([*measured, *pins], fp32, target)
    lowest = min([95.0, *(x for curve in lines for x in curve.x)])
    view = (lowest - 0.06 * (100 - lowest), 100 + 0.3 * (100 - lowest))  # most plans are near 100: room for names
    height = HEIGHT - TOP - BOTTOM
    shapes, words = across(levels, ends, height)
    named = [(pin.int8_mac_share, pin.accuracy, shortened(pin.name, 26)) for pin in pins]
    named += [(mark.x, mark.accuracy, mark.words) for mark in marks]
    named.sort(key=lambda point: -point[1])  # from the top, or lines to labels would cross
    along = [(step.int8_mac_share, step.accuracy) for step in measured]
    at = [(x, max(accuracy, ends[0])) for x, accuracy in [*((x, y) for x, y, _ in named), *_dense(along)]]
    points = [((x - view[0]) / (view[1] - view[0]), (ends[1] - y) / (ends[1] - ends[0])) for x, y in at]
    offsets = beside_points(points, [text for *_, text in named], (ROOM, height), near=12)
    for (x, y), (*_, text), offset in zip(at, named, offsets, strict=False):
        words.append(beside(text, palette.text, x, y, offset, near=12, bgcolor=faded(palette.page, 0.7)))
    title = "multiply-accumulates in integers (%)"
    tick = round_step((100 - lowest) / 6)
    ticks = [100 - tick * i for i in range(int((100 - lowest) / tick + 1e-9) + 1)]
    return go.Figure(
        {
            "data": [*curves.traces(lines, fp32, ends, theme), *curves.rings(marks, ends, theme)],
            "layout": layout(
                theme,
                height=HEIGHT,
                margin={"t": TOP, "r": margin(levels), "l": 68, "b": BOTTOM},
                shapes=shapes,
                annotations=words,
                xaxis=axis(theme, title, range=list(view), tickvals=ticks, showgrid=False),
                yaxis=axis(theme, metric_axis(metric), range=list(ends)),
            ),
        }
    )


def steps_curve(partial: Partial, fp32: float, metric: Metric, name: str, theme: Theme) -> Curve:
    """The steps as a curve over the number of skipped layers."""
    hovers = []
    for step in partial.steps:
        count = len(step.skipped)
        title = f"<b>also skipped: {step.skipped[-1]}</b>" if count else "<b>nothing skipped</b>"
        words = f"{count} layer{'s' * (count != 1)} in floating point"
        share = f"{step.int8_mac_share:.1f} % of multiply-accumulates in integers"
        hovers.append("<br>".join([title, f"{words}, {share}", *told(step, fp32, metric)]))
    greedy = partial.search == "greedy"
    return Curve(
        name,
        [len(step.skipped) for step in partial.steps],
        partial.steps,
        hovers,
        precision_colour("int8" if greedy else "float-kept", theme),
        "diamond" if greedy else "square",
        "dash" if greedy else "solid",
    )


def _pinned(pin: Pin, fp32: float, metric: Metric) -> str:
    cost = f"{pin.int8_mac_share:.1f} % of multiply-accumulates in integers, model of {pin.model_bytes / 1e6:.2f} MB"
    return "<br>".join([f"<b>{pin.name}</b>", *told(pin, fp32, metric), cost])


def _dense(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points of a line and three between each two: what a label should not cover."""
    pairs = [(a, b, i / 4) for a, b in pairwise(points) for i in range(4)]
    return [*((a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])) for a, b, t in pairs), *points[-1:]]
