"""The divergence over all cutoffs, which entropy calibration minimizes (section 3.4)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from qanalysis.figures.calibration.cutoffs import PLOT_HEIGHT, marks
from qanalysis.figures.look.theme import PALETTES, Theme, axis, blank, faded, layout, line
from qanalysis.numerics.calibrate import FIRST_CANDIDATE, DivergenceCurve

HOW_TO_READ = {
    "divergence": (
        "For every possible cutoff, how far the quantized distribution is from the real one (lower is better); entropy "
        "calibration takes the lowest point. Where it is shaded, the divergence is infinite or never looked at: "
        "entropy cannot choose a cutoff there, however good it would be."
    ),
}


def divergence(
    curve: DivergenceCurve,
    cutoffs: Mapping[str, float | None],
    *,
    theme: Theme = "light",
    custom: float | None = None,
    log: bool = True,
    room: int = 380,
    uirevision: str = "divergence",
) -> go.Figure:
    """KL divergence against the threshold, with its minimum: what entropy calibration sees (section 3.4).

    Stretches are shaded where the divergence is infinite (the last kept bin is empty, so the reference has mass where
    the candidate has none) and below the first candidate, which the search never tries.

    Args:
        curve: from `kl_divergence_curve`.
        cutoffs: by calibration, in the tensor's unit; None is left out.
        theme: light or dark.
        custom: a cutoff of the reader's own.
        log: logarithmic divergence.
        room: narrowest plot in px on which the labels must not overlap.
        uirevision: zoom survives an update as long as this stays the same.
    """
    if not len(curve.divergence):
        return blank(
            f"There is no divergence to draw: the tensor fills fewer than {FIRST_CANDIDATE} histogram bins, "
            "the first cutoff that the entropy search would try, so entropy equals max.",
            theme,
        )
    palette = PALETTES[theme]
    finite = np.isfinite(curve.divergence)
    log = log and bool((curve.divergence[finite] > 1e-9).any())  # where nothing diverges there is no scale
    low, high = _limits(curve.divergence[finite], log)
    shown = np.where(finite, np.maximum(curve.divergence, low), np.nan).astype(np.float32)
    thresholds = curve.thresholds.astype(np.float32)
    span = (
        0.0,
        1.02 * max(float(curve.thresholds[-1]), custom or 0.0, *(cutoff or 0.0 for cutoff in cutoffs.values())),
    )
    lines = marks(cutoffs, theme=theme, span=span, room=room, custom=custom)
    padded = np.concatenate(([False], finite, [False]))
    alone = np.flatnonzero(finite & ~padded[:-2] & ~padded[2:])  # a line would not show these
    hover = "cut at %{x:.4g}: %{y:.4g} nats<extra></extra>"
    ink = palette.text
    base = {"type": "scatter", "x": thresholds, "hovertemplate": hover, "showlegend": False}
    lowest = int(np.flatnonzero(curve.thresholds == curve.best)[0])
    traces: list[dict[str, Any]] = [
        base | {"y": shown, "mode": "lines", "line": line(ink, 1.8)},
        base | {"x": thresholds[alone], "y": shown[alone], "mode": "markers", "marker": {"color": ink, "size": 3}},
        base
        | {
            "x": thresholds[[lowest]],
            "y": shown[[lowest]],
            "mode": "markers",
            "cliponaxis": False,
            "name": f"minimum: {max(curve.divergence[lowest], 0):.3g} nats at {curve.best:.4g}",
            "marker": {"color": ink, "size": 12, "symbol": "circle-open", "line": {"width": 2.5}},
            "showlegend": True,
        },
    ]
    shades = [
        _shade(
            [(0.0, float(curve.thresholds[0]))],
            f"not searched (first {FIRST_CANDIDATE} bins)",
            palette.muted,
            0.22,
        ),
        _shade(_runs(curve.thresholds, ~finite), "infinite divergence", palette.clipping, 0.16),
    ]
    return go.Figure(
        {
            "data": traces,
            "layout": layout(
                theme,
                height=PLOT_HEIGHT + 92 + lines.height,
                margin={"t": 8 + lines.height, "b": 84},
                legend={"y": -0.2, "yanchor": "top"},
                shapes=[shade for shade in shades if shade is not None] + lines.shapes,
                annotations=lines.annotations,
                uirevision=uirevision,
                xaxis=axis(theme, "cutoff of |x|", range=span, showgrid=False),
                yaxis=axis(
                    theme,
                    "KL divergence (nats)",
                    type="log" if log else "linear",
                    range=[float(np.log10(low)), float(np.log10(high))] if log else [0, high],
                    uirevision=f"{uirevision} {'log' * log}",
                    **({"dtick": 1, "exponentformat": "power"} if log else {}),
                ),
            ),
        }
    )


def _limits(values: NDArray[np.float64], log: bool) -> tuple[float, float]:
    """Ends of the axis of divergences; rounding can leave zeros and negatives, which a log axis cannot show."""
    high = float(values.max(initial=0))
    if not log:
        return 0.0, 1.05 * high if high > 1e-9 else 1.0
    low = max(float(values[values > 0].min(initial=high)), 1e-6 * high)
    return low / 1.6, high * 1.6


def _runs(thresholds: NDArray[np.float64], mask: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """First and last edge of each stretch of candidates where `mask` holds; a candidate stands for its bin."""
    if not mask.any():
        return []
    width = float(thresholds[1] - thresholds[0]) if len(thresholds) > 1 else float(thresholds[0])
    steps = np.diff(np.concatenate(([False], mask, [False])).astype(np.int8))
    starts, stops = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    return [
        (float(thresholds[a]) - width / 2, float(thresholds[b - 1]) + width / 2)
        for a, b in zip(starts, stops, strict=True)
    ]


def _shade(stretches: list[tuple[float, float]], name: str, colour: str, opacity: float) -> dict[str, Any] | None:
    """All stretches in one shape: with one far outlier there are hundreds of them, and shapes are slow."""
    if not stretches:
        return None
    path = "".join(f"M{a:.7g},0V1H{b:.7g}V0Z" for a, b in stretches)
    return {
        "type": "path",
        "path": path,
        "xref": "x",
        "yref": "paper",
        "fillcolor": faded(colour, opacity),
        "line": {"width": 0, "color": faded(colour, 0)},
        "layer": "below",
        "showlegend": True,
        "name": name,
    }
