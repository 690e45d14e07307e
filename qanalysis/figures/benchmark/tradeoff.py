"""Accuracy against speed: plans as points with their Pareto front; and how well latency is predicted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from qanalysis.figures.look.labels import ROOM, across, beside, beside_points, margin, shortened
from qanalysis.figures.look.scales import window
from qanalysis.figures.look.theme import PALETTES, Theme, axis, blank, faded, layout, line, precision_colour
from qanalysis.figures.sensitivity.curves import references
from qanalysis.insight.words import metric_axis, metric_noun
from qanalysis.numerics.change import relative
from qanalysis.schema.results.common import Metric
from qanalysis.schema.results.speed import Check, pareto_front

HOW_TO_READ = {
    "tradeoff": (
        "To the left a plan is faster, upwards it is more accurate, so the best are in the upper left corner. The line "
        "joins the plans that no other beats in both; filled marks were timed, hollow ones are predicted. Click a mark "
        "to load its plan."
    ),
    "checks": (
        "Plans that were measured to see how good the prediction is: on the diagonal it is exact, in the band within "
        "6 %. Hollow marks took part in fitting what a change of precision costs, filled ones did not."
    ),
}

#: Error of a prediction that is good enough, in %.
GOOD = 6.0
_HEIGHT, _TOP, _BOTTOM = 430, 36, 52
_SYMBOLS = {"fp32": "circle", "int8": "diamond", "search": "square", "chosen": "star"}


@dataclass(frozen=True)
class Point:
    """A plan by its accuracy and latency.

    Attributes:
        key: what a click on it tells.
        name: of the plan.
        kind: fp32, int8, search (tried by the search), or chosen (by it).
        ms: latency of one inference.
        accuracy: in %.
        floats: sites in floating point.
        sites: all of them.
        measured: whether the latency was measured, not predicted.
    """

    key: str
    name: str
    kind: str
    ms: float
    accuracy: float
    floats: int
    sites: int
    measured: bool = True


def tradeoff(
    points: Sequence[Point],
    *,
    fp32: float,
    target: float,
    metric: Metric = "accuracy",
    selected: str | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Accuracy against latency, the Pareto front as a line; `customdata` of a mark is `[key]`.

    Args:
        points: plans.
        fp32: accuracy in floating point, in %.
        target: loss to accept, in % relative to fp32.
        metric: what accuracies are.
        selected: key of the point to ring.
        theme: light or dark.
    """
    if not points:
        return blank("No plan has been measured yet.", theme, _HEIGHT)
    palette = PALETTES[theme]
    ends = window(fp32, [p.accuracy for p in points], [(p.accuracy, p.accuracy) for p in points])
    goal = fp32 * (1 - target / 100)
    ends = (min(ends[0], goal - 0.06 * (ends[1] - goal)), ends[1])
    first, last = min(p.ms for p in points), max(p.ms for p in points)
    air = 0.07 * (last - first) or 0.1 * last
    view = (max(first - air, 0.0), last + 2 * air)
    levels = references(fp32, target, None, theme)
    height = _HEIGHT - _TOP - _BOTTOM
    shapes, words = across(levels, ends, height)
    front = pareto_front([(p, p.ms, p.accuracy) for p in points])
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "not beaten in both",
            "x": [p.ms for p in front],
            "y": [max(p.accuracy, ends[0]) for p in front],
            "line": {**line(palette.accent, 1.5, "dot"), "shape": "hv"},
            "hoverinfo": "skip",
        }
    ]
    for kind, measured in dict.fromkeys((p.kind, p.measured) for p in points):
        mine = [p for p in points if (p.kind, p.measured) == (kind, measured)]
        traces.append(_marks(mine, kind, measured, ends[0], fp32, metric, theme))
    ringed = [p for p in points if p.key == selected]
    if ringed:
        ring = {"symbol": "circle-open", "size": 21, "color": palette.text, "line": {"width": 2}}
        at = {"x": [p.ms for p in ringed], "y": [max(p.accuracy, ends[0]) for p in ringed]}
        traces.append(
            {"type": "scatter", "mode": "markers", **at, "marker": ring, "hoverinfo": "skip", "showlegend": False}
        )
    named = [p for p in points if p.kind in ("int8", "chosen")]  # fp32 has its line
    order = [*named, *(p for p in points if p not in named)]
    at_ = [(p.ms, max(p.accuracy, ends[0])) for p in order]
    places = [((x - view[0]) / (view[1] - view[0]), (ends[1] - y) / (ends[1] - ends[0])) for x, y in at_]
    texts = [shortened(p.name, 26) for p in named]
    for (x, y), text, offset in zip(at_, texts, beside_points(places, texts, (ROOM, height), near=12), strict=False):
        words.append(beside(text, palette.text, x, y, offset, near=12, bgcolor=faded(palette.page, 0.7)))
    return go.Figure(
        {
            "data": traces,
            "layout": layout(
                theme,
                height=_HEIGHT,
                margin={"t": _TOP, "r": margin(levels), "l": 68, "b": _BOTTOM},
                shapes=shapes,
                annotations=words,
                xaxis=axis(theme, "time of one inference (ms)", range=list(view)),
                yaxis=axis(theme, metric_axis(metric), range=list(ends)),
            ),
        }
    )


def checks(found: Sequence[Check], *, theme: Theme = "light") -> go.Figure:
    """Predicted against measured latency of plans that were measured for this.

    Args:
        found: of a speed model.
        theme: light or dark.
    """
    if not found:
        return blank("The prediction was not checked.", theme, 320)
    palette = PALETTES[theme]
    values = [ms for check in found for ms in (check.measured_ms, check.predicted_ms)]
    air = 0.08 * (max(values) - min(values)) or 0.1 * max(values)
    view = [min(values) - air, max(values) + air]
    good = {
        "type": "scatter",
        "mode": "lines",
        "x": [view[0], view[1], view[1], view[0]],
        "y": [
            view[0] * (1 - GOOD / 100),
            view[1] * (1 - GOOD / 100),
            view[1] * (1 + GOOD / 100),
            view[0] * (1 + GOOD / 100),
        ],
        "fill": "toself",
        "fillcolor": faded(palette.fill, 0.15),
        "line": {"width": 0, "color": palette.fill},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    diagonal = {"type": "line", "x0": view[0], "y0": view[0], "x1": view[1], "y1": view[1], "line": line(palette.muted)}
    colour = precision_colour("int8", theme)
    marks = []
    for fitted in (False, True):
        mine = [check for check in found if check.fitted == fitted]
        marks.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "used for fitting" if fitted else "only to check",
                "x": [check.measured_ms for check in mine],
                "y": [check.predicted_ms for check in mine],
                "marker": {
                    "symbol": "diamond-open" if fitted else "diamond",
                    "size": 11,
                    "color": colour,
                    "line": {"width": 2, "color": colour},
                },
                "hovertext": [
                    f"{check.skipped} layers in floating point<br>measured {check.measured_ms:.4g} ms, predicted "
                    f"{check.predicted_ms:.4g} ms ({check.error:+.1f} %)"
                    for check in mine
                ],
                "hoverinfo": "text",
            }
        )
    return go.Figure(
        {
            "data": [good, *marks],
            "layout": layout(
                theme,
                height=340,
                margin={"t": 36, "r": 16, "b": 52},
                shapes=[diagonal],
                xaxis=axis(theme, "measured (ms)", range=view),
                yaxis=axis(theme, "predicted (ms)", range=view),
            ),
        }
    )


_WORDS = {"fp32": "floating point", "int8": "measured plans", "search": "tried by the search", "chosen": "its choice"}


def _marks(
    points: Sequence[Point], kind: str, measured: bool, low: float, fp32: float, metric: Metric, theme: Theme
) -> dict[str, Any]:
    colour = (
        PALETTES[theme].accent if kind == "chosen" else precision_colour("fp32" if kind == "fp32" else "int8", theme)
    )
    if kind == "search":
        colour = precision_colour("float-kept", theme)
    symbol = _SYMBOLS[kind] + ("" if measured else "-open")
    return {
        "type": "scatter",
        "mode": "markers",
        "name": _WORDS[kind] + ("" if measured else ", predicted"),
        "x": [p.ms for p in points],
        "y": [max(p.accuracy, low) for p in points],
        "marker": {
            "symbol": ["triangle-down" if p.accuracy < low else symbol for p in points],
            "size": 15 if kind == "chosen" else 11,
            "color": colour,
            "line": {"width": 1 if measured else 2, "color": PALETTES[theme].page if measured else colour},
        },
        "cliponaxis": False,
        "customdata": [[p.key] for p in points],
        "hovertext": [_hover(p, fp32, metric) for p in points],
        "hoverinfo": "text",
    }


def _hover(point: Point, fp32: float, metric: Metric) -> str:
    change, share = point.accuracy - fp32, relative(point.accuracy, fp32)
    return "<br>".join(
        [
            f"<b>{point.name}</b>",
            f"{point.ms:.4g} ms, {'measured' if point.measured else 'predicted'}",
            f"{metric_noun(metric)} {point.accuracy:.2f} %: {change:+.2f} points, {share:+.2f} % of fp32",
            f"{point.floats} of {point.sites} layers in floating point",
        ]
    )
