"""Learned ranges (section 5.3): how training moves the largest value that an activation may take."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from qanalysis.figures.look import series
from qanalysis.figures.look.labels import name_margin, shortened
from qanalysis.figures.look.series import End
from qanalysis.figures.look.theme import PALETTES, Theme, annotation, axis, blank, layout, line
from qanalysis.schema.results.trace import Trace

_HEIGHT, _TOP, _BOTTOM = 340, 24, 48
_FIXED = "No range is learned in this run: all stay where calibration put them."


def ranges(
    trace: Trace,
    tensors: Sequence[str],
    *,
    fixed: Mapping[str, float | None],
    steps: int,
    theme: Theme = "light",
) -> go.Figure:
    """The learned ranges of some activations by step, each with its calibrated range as a dotted line.

    Args:
        trace: of the run.
        tensors: keys of the activations to draw; unknown ones are left out.
        fixed: activation → calibrated range.
        steps: planned.
        theme: light or dark.
    """
    known = [tensor for tensor in tensors if tensor in trace.tensors]
    if not trace.tensors:
        return blank(_FIXED, theme, _HEIGHT)
    if not known or not len(trace.steps):
        return blank("Choose a layer to see how its range moves.", theme, _HEIGHT)
    data: list[dict[str, Any]] = []
    names, values = [], []
    for number, tensor in enumerate(known):
        colour = series.colour(number, theme)
        y = trace.ranges[:, trace.tensors.index(tensor)]
        values += [float(y.min()), float(y.max())]
        shared = {"type": "scatter", "showlegend": False}
        data.append(
            shared
            | {
                "mode": "lines" if len(y) > 1 else "markers",
                "x": trace.steps.astype(np.int32),
                "y": y,
                "line": line(colour, 2.2),
                "marker": {"color": colour, "size": 8},
                "hovertemplate": f"<b>{tensor}</b><br>" + "step %{x:,}: ±%{y:.4g}<extra></extra>",
            }
        )
        names.append(End(float(y[-1]), f"{shortened(tensor, 22)} {y[-1]:.3g}", colour))
        start = fixed.get(tensor)
        if start is not None:
            values.append(start)
            hover = f"<b>{tensor}</b><br>calibrated ±{start:.4g}<extra></extra>"
            flat = {"mode": "lines", "x": [0, steps], "y": [start, start], "line": line(colour, 1.6, "dot")}
            data.append(shared | flat | {"hovertemplate": hover})
            if len(known) == 1:
                names.append(End(start, f"calibrated {start:.3g}", PALETTES[theme].muted))
    span = series.air(values, 1e-3 * max(values))
    return go.Figure(
        {
            "data": data,
            "layout": layout(
                theme,
                height=_HEIGHT,
                margin={"t": _TOP, "b": _BOTTOM, "l": 68, "r": series.room(names)},
                annotations=series.ends(names, span, _HEIGHT - _TOP - _BOTTOM),
                xaxis=axis(theme, "step", range=[0, max(steps, 1)], showgrid=False, tickformat=",d", nticks=7),
                yaxis=axis(theme, "largest value represented", range=list(span)),
            ),
        }
    )


def moves(
    before: Mapping[str, float | None], after: Mapping[str, float | None], *, theme: Theme = "light"
) -> go.Figure:
    """How far every range moved: the one after training as a share of the calibrated one.

    Args:
        before: activation → calibrated range.
        after: activation → range after training, or as it is now.
        theme: light or dark.
    """
    rows = [(key, start, now) for key, start in before.items() if start and (now := after.get(key)) is not None]
    if not rows:
        return blank("This run has no ranges to compare.", theme)
    palette = PALETTES[theme]
    labels = [shortened(key) for key, _, _ in rows]
    shares = [100 * now / start for _, start, now in rows]
    low, high = min([*shares, 100.0]), max([*shares, 100.0])
    space = max(0.26 * (high - low), 2.0)  # for the numbers at the ends of the bars
    span = [low - space if low < 100 else 100 - space / 2, high + space if high > 100 else 100 + space / 2]
    notes = []
    for row, share in enumerate(shares):
        side: dict[str, Any] = {"xanchor": "right", "xshift": -6} if share < 100 else {"xanchor": "left", "xshift": 6}
        notes.append(annotation(f"{share:.0f} %", palette.muted, x=share, y=row, **side))
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [share - 100 for share in shares],
        "base": 100,
        "y": list(range(len(rows))),
        "width": 0.62,
        "marker": {"color": [palette.accent if share < 100 else palette.plain for share in shares]},
        "hovertext": [
            f"<b>{key}</b><br>calibrated ±{start:.4g}<br>learned ±{now:.4g}, {100 * now / start:.1f} %"
            for key, start, now in rows
        ],
        "hoverinfo": "text",
        "showlegend": False,
    }
    middle = {"type": "line", "x0": 100, "x1": 100, "y0": 0, "y1": 1, "yref": "paper", "line": line(palette.text, 1)}
    return go.Figure(
        {
            "data": [bars],
            "layout": layout(
                theme,
                height=max(180, 72 + 20 * len(rows)),
                margin={"t": 12, "l": name_margin(labels), "b": _BOTTOM},
                shapes=[middle],
                annotations=notes,
                xaxis=axis(theme, "learned range over calibrated range (%)", range=span),
                yaxis=axis(
                    theme,
                    tickvals=list(range(len(rows))),
                    ticktext=labels,
                    range=[len(rows) - 0.4, -0.6],
                    showgrid=False,
                    tickfont={"color": palette.text, "size": 12},
                ),
            ),
        }
    )
