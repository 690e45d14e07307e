"""The histogram of one activation with the cutoff of every calibration (the paper's Fig. 2)."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from qanalysis.figures.calibration.cutoffs import PLOT_HEIGHT, clipped, marks
from qanalysis.figures.look.theme import PALETTES, Theme, axis, blank, layout
from qanalysis.numerics.histogram import BINS, Histogram

#: Most bars that a histogram is drawn with.
BARS = 512

HOW_TO_READ = {
    "activation": (
        "Each bar counts how often the layer's input took a value; on the logarithmic scale a bar half as high can "
        "mean a thousand times fewer values. A dashed line is where a calibration cuts, the solid one is yours: what "
        "lies beyond is clipped to the line, and the integer codes are spread evenly over what is left."
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
    lows: Mapping[str, float] | None = None,
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
        lows: by calibration, the lower end of its range where that is not minus the cutoff (affine ranges).
        room: narrowest plot in px on which the labels must not overlap.
        uirevision: zoom survives an update as long as this stays the same, e.g. the tensor's name.
    """
    if histogram.amax == 0:
        return blank("Every value of this activation was zero: there is nothing to calibrate.", theme)
    palette = PALETTES[theme]
    signed = histogram.minimum < 0 if signed is None else signed
    edges, counts, width = drawn_bins(histogram, signed)
    span = _span(histogram, signed, [custom, *cutoffs.values()])
    lines = marks(cutoffs, theme=theme, span=span, room=room, custom=custom, mirrored=signed, lows=lows)
    shades = [] if custom is None else clipped(custom, span, theme, signed)
    most = float(counts.max())
    drawn = _drawn_width(edges, width, span)
    bars = {
        "type": "bar",
        "x": (edges + width / 2).astype(np.float32),
        "y": counts.astype(np.int32 if most < 2**31 else np.float64),
        "width": drawn,
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
                height=PLOT_HEIGHT + 60 + lines.height,
                margin={"t": 8 + lines.height, "b": 52},
                bargap=0,
                shapes=shades + lines.shapes,
                annotations=lines.annotations,
                uirevision=uirevision,
                xaxis=axis(
                    theme, "activation x" if signed else "magnitude of the activation |x|", range=span, showgrid=False
                ),
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
    return np.asarray((kept + start) * width, np.float64), sums[kept], width


def _drawn_width(edges: NDArray[np.float64], width: float, span: tuple[float, float]) -> float:
    """Width that a bar is drawn with: single values far apart would be thinner than a pixel."""
    gap = float(np.diff(edges).min()) if len(edges) > 1 else span[1] - span[0]
    return max(width, min(gap, (span[1] - span[0]) / 100))


def _span(histogram: Histogram, signed: bool, cutoffs: Iterable[float | None]) -> tuple[float, float]:
    """Ends of the axis, with a little air: the data, the cutoffs, and zero, which every range contains."""
    largest = max(histogram.amax, *(cutoff or 0.0 for cutoff in cutoffs))
    return (min(histogram.minimum, 0.0) - 0.02 * largest if signed else 0.0), 1.02 * largest
