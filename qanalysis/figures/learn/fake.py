"""The lesson on fake quantization: the staircase forward and the straight-through estimator backward (Fig. 4)."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from qanalysis.figures.learn.look import axis, layout
from qanalysis.figures.look.theme import PALETTES, Theme, faded, line
from qanalysis.numerics.codes import reals, represented, rounded
from qanalysis.numerics.spec import QuantizerSpec, Range

_UPPER = (0.42, 1.0)
_LOWER = (0.0, 0.28)

HOW_TO_READ = {
    "passes": (
        "Above, what comes out of fake quantization for what goes in: a staircase, flat beyond the range. Below, its "
        "true derivative, zero but for the jumps, and what training uses in its place: one inside the range, zero "
        "outside, so that a value that is clipped does not learn."
    ),
}


def passes(spec: QuantizerSpec, range_: Range, value: float, *, theme: Theme = "light") -> go.Figure:
    """Forward pass and the two derivatives (Eq. 12 and 13).

    Args:
        spec: bits and scheme.
        range_: [beta, alpha].
        value: the reader's own input.
        theme: light or dark.
    """
    palette = PALETTES[theme]
    inside = represented(range_, spec)
    room = 0.35 * (inside.alpha - inside.beta)
    span = [inside.beta - room, inside.alpha + room]
    steps = reals(np.arange(spec.code_min, spec.code_max + 1), range_, spec)
    jumps = (steps[1:] + steps[:-1]) / 2
    x = np.concatenate(([span[0]], np.repeat(jumps, 2), [span[1]]))
    back = float(rounded(value, range_, spec))
    slope = 1.0 if inside.beta <= value <= inside.alpha else 0.0
    mine = palette.accent
    curve: dict[str, Any] = {"type": "scatter", "mode": "lines", "hoverinfo": "skip"}
    point: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "marker": {"size": 15, "color": mine},
        "showlegend": False,
    }
    spikes = np.stack((jumps, jumps, np.full(len(jumps), np.nan)), 1).ravel()
    traces = [
        curve | {"x": span, "y": span, "name": "x itself", "line": line(palette.muted, 2, "dot")},
        curve | {"x": x, "y": np.repeat(steps, 2), "name": "fake-quantized x̂", "line": line(palette.text, 3)},
        point | {"x": [value], "y": [back], "hovertemplate": f"{value:.4g} becomes {back:.4g}<extra></extra>"},
        curve
        | {
            "x": spikes,
            "y": np.tile([0.0, 1.45, np.nan], len(jumps)),
            "yaxis": "y2",
            "name": "true derivative",
            "line": line(palette.plain, 2, "dash"),
            "legend": "legend2",
        },
        curve | {"x": span, "y": [0, 0], "yaxis": "y2", "line": line(palette.plain, 2, "dash"), "showlegend": False},
        curve
        | {
            "x": [span[0], inside.beta, inside.beta, inside.alpha, inside.alpha, span[1]],
            "y": [0, 0, 1, 1, 0, 0],
            "yaxis": "y2",
            "name": "straight-through estimator",
            "line": line(palette.clipping, 4),
            "legend": "legend2",
        },
        point | {"x": [value], "y": [slope], "yaxis": "y2", "hovertemplate": f"gradient × {slope:.0f}<extra></extra>"},
    ]
    shapes = [
        {"type": "rect", "x0": a, "x1": b, "y0": 0, "y1": 1, "yref": "paper", "layer": "below"}
        | {"fillcolor": faded(palette.clipping, 0.1), "line": {"width": 0}}
        for a, b in ((span[0], inside.beta), (inside.alpha, span[1]))
    ]
    shapes.append(
        {"type": "line", "x0": value, "x1": value, "y0": 0, "y1": 1, "yref": "paper", "line": line(mine, 2, "dash")}
    )
    base = layout(
        theme,
        height=440,
        margin={"l": 70, "r": 12, "t": 34, "b": 56},
        shapes=shapes,
        xaxis=axis(theme, "x", range=span, anchor="y2", showgrid=False),
        yaxis=axis(theme, "x̂", domain=list(_UPPER), range=[inside.beta - room / 3, inside.alpha + room / 3], nticks=6),
        yaxis2=axis(theme, "dx̂/dx", domain=list(_LOWER), range=[-0.15, 1.5], tickvals=[0, 1]),
    )
    base["legend2"] = base["legend"] | {"y": _LOWER[1] + 0.01}
    return go.Figure({"data": traces, "layout": base})
