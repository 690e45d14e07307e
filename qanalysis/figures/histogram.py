"""One activation tensor: its histogram with every cutoff (Fig. 2), the divergence that entropy minimizes, and costs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from qanalysis.figures.cutoffs import clipped, marks
from qanalysis.figures.theme import PALETTES, Theme, axis, blank, faded, layout, line
from qanalysis.numerics.calibrate import DivergenceCurve
from qanalysis.numerics.histogram import BINS, Histogram

#: Most bars that a histogram is drawn with.
BARS = 512

HOW_TO_READ = {
    "activation": (
        "Each bar counts how often the layer's input took a value; the scale is logarithmic, so a bar half as high can "
        "mean a thousand times fewer values. A dashed line is where a calibration cuts: everything beyond it is clipped "
        "to the line, and the 8-bit codes are spread evenly over what is left."
    ),
    "divergence": (
        "For each possible cutoff, how far the quantized distribution is from the real one (lower is better); entropy "
        "calibration takes the lowest point. In shaded stretches the divergence is infinite or was never looked at, so "
        "entropy cannot choose a cutoff there, even where it would be a good one."
    ),
}


def activation(
    histogram: Histogram,
    cutoffs: Mapping[str, float | None],
    *,
    theme: Theme = "light",
    custom: float | None = None,
    log: bool = True,
    signed: bool | None = None,
    room: int = 560,
    uirevision: str = "activation",
) -> go.Figure:
    """Histogram of one activation with the cutoff of every calibration (the paper's Fig. 2).

    Args:
        histogram: of the tensor.
        cutoffs: by calibration, the largest magnitude represented, in the tensor's unit; None is left out.
        theme: light or dark.
        custom: a cutoff of the reader's own: a thick line, with what it clips shaded.
        log: logarithmic counts.
        signed: values with their signs (cutoffs at plus and minus), or magnitudes; None follows the data.
        room: narrowest plot in px on which the labels must not overlap.
        uirevision: zoom survives an update as long as this stays the same, e.g. the tensor's name.
    """
    if histogram.amax == 0:
        return blank("Every value of this activation was zero: there is nothing to calibrate.", theme)
    palette = PALETTES[theme]
    signed = histogram.minimum < 0 if signed is None else signed
    edges, counts, width = drawn_bins(histogram, signed)
    span = _span(histogram, signed, custom)
    lines = marks(cutoffs, theme=theme, span=span, room=room, custom=custom, mirrored=signed)
    shades = [] if custom is None else clipped(custom, span, theme, signed)
    most = float(counts.max())
    bars = {
        "type": "bar",
        "x": (edges + width / 2).astype(np.float32),
        "y": counts.astype(np.int32 if most < 2**31 else np.float64),
        "width": width,
        "customdata": np.stack((edges, edges + width, 100 * counts / histogram.total), 1).astype(np.float32),
        "hovertemplate": "%{customdata[0]:.4g} to %{customdata[1]:.4g}<br>%{y:,} values (%{customdata[2]:.3g} %)"
        "<extra></extra>",
        "marker": {"color": palette.fill, "line": {"width": 0}},
        "showlegend": False,
    }
    scale: dict[str, Any] = {"type": "linear", "range": [0, 1.05 * most], "exponentformat": "SI"}
    if log:
        top = float(np.log10(most))
        scale = {"type": "log", "range": [-0.25, 1.03 * top + 0.1], "dtick": max(1, round(top / 6)), "tickformat": "~s"}
    return go.Figure(
        {
            "data": [bars],
            "layout": layout(
                theme,
                height=330 + lines.height,
                margin={"t": 8 + lines.height},
                bargap=0,
                shapes=shades + lines.shapes,
                annotations=lines.annotations,
                uirevision=uirevision,
                xaxis=axis(theme, "activation" if signed else "|activation|", range=span, showgrid=False),
                yaxis=axis(
                    theme, "count (log scale)" if log else "count", **scale, uirevision=f"{uirevision} {'log' * log}"
                ),
            ),
        }
    )


def drawn_bins(
    histogram: Histogram, signed: bool, limit: int = BARS
) -> tuple[NDArray[np.float64], NDArray[np.int64], float]:
    """The occupied bins, neighbours added up until at most `limit` bars span them; empty bars are left out.

    Bars begin at multiples of their width, so that none reaches across zero.

    Returns:
        Left edges `(n,)` and counts `(n,)`, and the width of a bar in the tensor's unit.
    """
    counts = histogram.counts if signed else histogram.magnitudes
    offset = BINS if signed else 0
    occupied = np.flatnonzero(counts)
    index = occupied - offset
    group = 1
    while index[-1] // group - index[0] // group >= limit:
        group += 1
    bars = index // group
    start = int(bars[0])
    sums = np.zeros(int(bars[-1]) - start + 1, np.int64)
    np.add.at(sums, bars - start, counts[occupied])
    kept = np.flatnonzero(sums)
    width = group * histogram.width
    return (kept + start) * width, sums[kept], width


def divergence(
    curve: DivergenceCurve,
    cutoffs: Mapping[str, float | None],
    *,
    theme: Theme = "light",
    custom: float | None = None,
    log: bool = True,
    room: int = 560,
    uirevision: str = "divergence",
) -> go.Figure:
    """KL divergence against the threshold, with its minimum: what entropy calibration sees (section 3.3).

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
            "There is no divergence to draw: the tensor fills fewer than 128 histogram bins, "
            "the first cutoff that the entropy search would try, so entropy equals max.",
            theme,
        )
    palette = PALETTES[theme]
    finite = np.isfinite(curve.divergence)
    low, high = _limits(curve.divergence[finite], log)
    shown = np.where(finite, np.maximum(curve.divergence, low), np.nan).astype(np.float32)
    thresholds = curve.thresholds.astype(np.float32)
    span = (0.0, 1.02 * max(float(curve.thresholds[-1]), custom or 0.0))
    lines = marks(cutoffs, theme=theme, span=span, room=room, custom=custom)
    alone = finite & ~np.roll(finite, 1) & ~np.roll(finite, -1)
    hover = "cut at %{x:.4g}: %{y:.4g} nats<extra></extra>"
    ink = palette.text
    base = {"type": "scatter", "x": thresholds, "hovertemplate": hover, "showlegend": False}
    lowest = int(np.flatnonzero(curve.thresholds == curve.best)[0])
    traces: list[dict[str, Any]] = [
        base | {"y": shown, "mode": "lines", "line": line(ink, 1.8)},
        base | {"y": np.where(alone, shown, np.nan), "mode": "markers", "marker": {"color": ink, "size": 3}},
        base
        | {
            "x": thresholds[[lowest]],
            "y": shown[[lowest]],
            "mode": "markers",
            "name": f"minimum: {curve.divergence[lowest]:.3g} nats at {curve.best:.4g}",
            "marker": {"color": ink, "size": 12, "symbol": "circle-open", "line": {"width": 2.5}},
            "showlegend": True,
        },
    ]
    shades = [
        _shade([(0.0, float(curve.thresholds[0]))], "not searched (first 128 bins)", palette.muted, 0.22),
        _shade(_runs(curve.thresholds, ~finite), "infinite divergence", palette.clipping, 0.16),
    ]
    return go.Figure(
        {
            "data": traces,
            "layout": layout(
                theme,
                height=350 + lines.height,
                margin={"t": 8 + lines.height, "b": 84},
                legend={"y": -0.2, "yanchor": "top"},
                shapes=[shade for shade in shades if shade is not None] + lines.shapes,
                annotations=lines.annotations,
                uirevision=uirevision,
                xaxis=axis(theme, "cutoff", range=span, showgrid=False),
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


def _span(histogram: Histogram, signed: bool, custom: float | None) -> tuple[float, float]:
    """First and last value on the axis: the data and zero, which every range contains, with a little air."""
    largest = max(histogram.amax, custom or 0.0)
    if not signed:
        return 0.0, 1.02 * largest
    low = min(histogram.minimum, 0.0)
    return low - 0.02 * largest, max(histogram.maximum, 0.0, largest if custom is not None else 0.0) + 0.02 * largest


def _limits(values: NDArray[np.float64], log: bool) -> tuple[float, float]:
    """Ends of the axis of divergences; rounding can leave zeros and negatives, which a log axis cannot show."""
    high = max(float(values.max()), 1e-12)
    if not log:
        return 0.0, 1.05 * high
    positive = values[values > 1e-12 * high]
    low = max(float(positive.min()) if len(positive) else high, 1e-6 * high)
    return low / 1.6, high * 1.6


def _runs(thresholds: NDArray[np.float64], mask: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """First and last edge of each stretch of candidates where `mask` holds; a candidate stands for its bin."""
    if not mask.any():
        return []
    width = float(thresholds[1] - thresholds[0]) if len(thresholds) > 1 else float(thresholds[0])
    steps = np.diff(np.concatenate(([False], mask, [False])).astype(np.int8))
    starts, stops = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    return [(float(thresholds[a]) - width / 2, float(thresholds[b - 1]) + width / 2) for a, b in zip(starts, stops, strict=True)]


def _shade(stretches: list[tuple[float, float]], name: str, colour: str, opacity: float) -> dict[str, Any] | None:
    """All stretches in one shape: with one far outlier there are hundreds of them, and shapes are slow."""
    if not stretches:
        return None
    path = "".join(f"M{a:.7g},0L{a:.7g},1L{b:.7g},1L{b:.7g},0Z" for a, b in stretches)
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
