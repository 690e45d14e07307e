"""Accuracies against fp32: bars that hang from the fp32 line, shared by the PTQ and the weight-only figures.

A bar's length is the loss, so no zero has to be on the axis for the lengths to be true, and the axis can show the
small differences that matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from qanalysis.figures.look.scales import window
from qanalysis.figures.look.theme import PALETTES, Theme, annotation, axis, faded, layout, line, precision_colour
from qanalysis.insight.words import metric_axis
from qanalysis.schema.results.common import Metric


@dataclass(frozen=True)
class Bar:
    """One measured row.

    Attributes:
        label: below the bar.
        value: accuracy in %.
        interval: its 95 % interval, in %.
        relative: 100 (value - fp32) / fp32, in %.
        colour: of the bar.
        hover: lines shown when pointed at.
        best: whether it is marked.
    """

    label: str
    value: float
    interval: tuple[float, float]
    relative: float
    colour: str
    hover: str
    best: bool = False


def hanging(bars: Sequence[Bar], fp32: float, metric: Metric, theme: Theme) -> go.Figure:
    """Bars from the fp32 line to each accuracy, with intervals, the line of 1 % relative loss and values on top.

    A bar below the axis (see `window`) ends at its bottom with a mark.
    """
    palette = PALETTES[theme]
    low, high = window(fp32, [bar.value for bar in bars], [bar.interval for bar in bars])
    positions = list(range(len(bars)))
    shown = [max(bar.value, low) for bar in bars]
    boxes = {
        "type": "bar",
        "x": positions,
        "y": [value - fp32 for value in shown],
        "base": fp32,
        "width": 0.62,
        "marker": {
            "color": [faded(bar.colour, 0.55) for bar in bars],  # whiskers must show on the darkest
            "line": {"width": 1.5, "color": [bar.colour for bar in bars]},
        },
        "hovertext": [bar.hover for bar in bars],
        "hoverinfo": "text",
        "showlegend": False,
    }
    inside = [i for i in positions if bars[i].value >= low]
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": inside,
        "y": [bars[i].value for i in inside],
        "marker": {"color": palette.text, "size": 7},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [bars[i].interval[1] - bars[i].value for i in inside],
            "arrayminus": [bars[i].value - bars[i].interval[0] for i in inside],
            "color": palette.text,
            "thickness": 1.5,
            "width": 5,
        },
        "hovertext": [bars[i].hover for i in inside],
        "hoverinfo": "text",
        "showlegend": False,
    }
    notes = []
    for x, bar in zip(positions, bars, strict=True):
        star = "★ " if bar.best else ""
        words = f"<b>{star}{bar.value:.2f}</b><br>{bar.relative:+.2f} %"
        notes.append(annotation(words, palette.text, x=x, y=1, yref="paper", yanchor="bottom", yshift=4))
        if bar.value < low:
            cut = {"x": x, "y": 0, "yref": "paper", "yanchor": "bottom", "yshift": 3, "bgcolor": palette.page}
            notes.append(annotation(f"▼ {bar.value:.1f} %", palette.text, **cut))
    one_percent = 0.99 * fp32
    fp32_colour = precision_colour("fp32", theme)
    beside = {"x": 1, "xref": "paper", "xanchor": "left", "xshift": 6, "yref": "y", "align": "left"}
    notes.append(annotation(f"fp32<br>{fp32:.2f} %", fp32_colour, y=fp32, yanchor="bottom", **beside))
    words = f"1 % relative<br>loss: {one_percent:.2f} %"
    notes.append(annotation(words, palette.clipping, y=one_percent, yanchor="top", **beside))
    shapes = [
        _across(fp32, line(fp32_colour, 2)),
        _across(one_percent, line(palette.clipping, 1.5, "dot")),
    ]
    return go.Figure(
        {
            "data": [boxes, points],
            "layout": layout(
                theme,
                height=400,
                margin={"t": 48, "r": 112, "l": 68, "b": 44},
                shapes=shapes,
                annotations=notes,
                xaxis=categories([bar.label for bar in bars], theme),
                yaxis=axis(theme, metric_axis(metric), range=[low, high]),
            ),
        }
    )


def categories(labels: list[str], theme: Theme) -> dict[str, Any]:
    """An axis of named rows, numbered from 0."""
    air = max(0, 4 - len(labels)) / 2  # or a single bar would fill the plot
    return axis(
        theme,
        tickvals=list(range(len(labels))),
        ticktext=labels,
        range=[-0.6 - air, len(labels) - 0.4 + air],
        automargin=True,
        showgrid=False,
        tickfont={"color": PALETTES[theme].text, "size": 13},
    )


def _across(y: float, look: dict[str, Any]) -> dict[str, Any]:
    return {"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": y, "y1": y, "line": look}
