"""The lesson on entropy calibration: one candidate's two distributions, and the divergence of all (section 3.4)."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go

from qanalysis.figures.learn.look import axis, layout
from qanalysis.figures.look.theme import CUSTOM, PALETTES, Theme, calibration_colour, calibration_dash, faded, line
from qanalysis.numerics.calibrate import DivergenceCurve
from qanalysis.numerics.candidate import CandidateDistribution

_UPPER = (0.56, 1.0)
_LOWER = (0.0, 0.42)

HOW_TO_READ = {
    "step": (
        "Above, the bars are the values as they are, with all that lies beyond the cutoff added to the last one (red); "
        "the line is what is left of them with as many levels as there are codes: equal within a level. Below, how far "
        "the two are apart for every cutoff. Entropy calibration takes the lowest point, the ring."
    ),
}


def step(
    candidate: CandidateDistribution,
    curve: DivergenceCurve,
    amax: float,
    cutoffs: Mapping[str, float | None],
    *,
    theme: Theme = "light",
) -> go.Figure:
    """P and Q of one candidate, and where it is on the curve of all.

    Args:
        candidate: the reader's.
        curve: of all candidates.
        amax: largest magnitude of the tensor, the end of the axis.
        cutoffs: of other calibrations, to compare with, in the tensor's unit.
        theme: light or dark.
    """
    palette = PALETTES[theme]
    kept = len(candidate.reference)
    width = candidate.cutoff / kept
    centres, reference = _thinned(candidate.reference, width)
    ends = np.repeat(candidate.edges * width, 2)[1:-1]
    levels = np.repeat([_level(candidate, a, b) for a, b in pairwise(candidate.edges.tolist())], 2)
    filled = candidate.reference[candidate.reference > 0]
    low = max(float(filled.min()) / 3, 1e-9)
    finite = np.isfinite(curve.divergence)
    shown = np.where(finite, np.maximum(curve.divergence, 1e-9), np.nan)
    around = np.concatenate(([False], finite, [False]))
    alone = np.flatnonzero(finite & ~around[:-2] & ~around[2:])  # a line would not show these
    height = candidate.divergence if np.isfinite(candidate.divergence) else None
    highest, lowest = float(np.nanmax(shown)), float(np.nanmin(shown))
    mine, entropy = calibration_colour(CUSTOM, theme), calibration_colour("entropy", theme)
    points: dict[str, Any] = {"type": "scatter", "mode": "markers", "yaxis": "y2", "showlegend": True}
    traces: list[dict[str, Any]] = [
        {
            "type": "bar",
            "name": "P: as it is",
            "x": centres[:-1],
            "y": reference[:-1],
            "width": candidate.cutoff / len(centres),
            "marker": {"color": palette.fill, "line": {"width": 0}},
            "hovertemplate": "%{x:.3g}: share %{y:.3g}<extra></extra>",
        },
        {
            "type": "bar",
            "name": "last bar, with what is clipped",
            "x": [candidate.cutoff],
            "y": reference[-1:],
            "width": 0.008 * amax,
            "marker": {"color": palette.clipping, "line": {"width": 0}},
            "hovertemplate": "share %{y:.3g}<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "name": f"Q: merged into {len(candidate.edges) - 1} levels",
            "x": ends,
            "y": np.maximum(levels, low),
            "line": line(palette.accent, 3),
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "x": curve.thresholds,
            "y": shown,
            "yaxis": "y2",
            "line": line(palette.text, 2.5),
            "hovertemplate": "cut at %{x:.4g}: %{y:.4g} nats<extra></extra>",
            "showlegend": False,
        },
        points
        | {
            "x": curve.thresholds[alone],
            "y": shown[alone],
            "marker": {"size": 4, "color": palette.text},
            "hoverinfo": "skip",
            "showlegend": False,
        },
        points
        | {
            "x": [curve.best],
            "y": [lowest],
            "name": f"lowest, at {curve.best:.3g}",
            "marker": {"size": 17, "symbol": "circle-open", "color": entropy, "line": {"width": 4}},
            "legend": "legend2",
        },
        points
        | {
            "x": [candidate.cutoff],
            "y": [highest if height is None else max(height, 1e-9)],
            "name": "yours: " + ("infinite" if height is None else f"{height:.3g} nats"),
            "marker": {"size": 13, "symbol": "triangle-up" if height is None else "circle", "color": mine},
            "legend": "legend2",
        },
    ]
    shapes: list[dict[str, Any]] = [
        {
            "type": "rect",
            "x0": candidate.cutoff,
            "x1": 1.02 * amax,
            "y0": _UPPER[0],
            "y1": 1,
            "yref": "paper",
            "fillcolor": faded(palette.clipping, 0.14),
            "line": {"width": 0},
        },
        {"type": "line", "x0": candidate.cutoff, "x1": candidate.cutoff, "y0": 0, "y1": _LOWER[1], "yref": "paper"}
        | {"line": line(mine, 3)},
    ]
    for name, value in cutoffs.items():
        if value is not None:
            look = line(calibration_colour(name, theme), 2, calibration_dash(name))
            shapes.append(
                {"type": "line", "x0": value, "x1": value, "y0": 0, "y1": _LOWER[1], "yref": "paper", "line": look}
            )
    base = layout(
        theme,
        height=440,
        margin={"l": 86, "r": 12, "t": 34, "b": 56},
        shapes=shapes,
        bargap=0,
        uirevision="entropy",
        xaxis=axis(theme, "|x|", range=[0, 1.02 * amax], showgrid=False, anchor="y2"),
        yaxis=axis(
            theme,
            "share",
            type="log",
            domain=list(_UPPER),
            range=[np.log10(low), np.log10(float(reference.max())) + 0.3],
            dtick=2,
            exponentformat="power",
        ),
        yaxis2=axis(
            theme,
            "KL (nats)",
            type="log",
            domain=list(_LOWER),
            range=[np.log10(lowest) - 0.25, np.log10(highest) + 0.25],
            dtick=1,
            exponentformat="power",
        ),
    )
    base["legend2"] = base["legend"] | {"x": 1, "xanchor": "right", "y": _LOWER[1] + 0.005}
    return go.Figure({"data": traces, "layout": base})


def _level(candidate: CandidateDistribution, start: int, end: int) -> float:
    """Height of a level: its bins that are not empty all have the same."""
    return float(candidate.merged[start:end].max(initial=0.0))


def _thinned(shares: np.ndarray[Any, Any], width: float, limit: int = 300) -> tuple[Any, Any]:
    """Bars to draw: means of neighbours where there are more than `limit`; the last one holds what is clipped."""
    group = -(-len(shares) // limit)
    if group == 1:
        return (np.arange(len(shares)) + 0.5) * width, shares
    whole = len(shares) // group * group
    means = shares[:whole].reshape(-1, group).mean(1)
    means[-1] = max(means[-1], float(shares[-1]))
    return (np.arange(len(means)) + 0.5) * group * width, means
