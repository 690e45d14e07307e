"""The lesson on calibration: clipping error against rounding error as the cutoff moves (section 3.4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from qanalysis.figures.calibration.cutoffs import coincident
from qanalysis.figures.calibration.histogram import drawn_bins
from qanalysis.figures.learn.look import axis, layout
from qanalysis.figures.look.theme import CUSTOM, PALETTES, Theme, calibration_colour, calibration_dash, faded, line
from qanalysis.insight.words import calibration_label
from qanalysis.numerics.histogram import Histogram

#: Share of the plot's height that the histogram takes.
_UPPER = (0.56, 1.0)
_LOWER = (0.0, 0.46)

HOW_TO_READ = {
    "tradeoff": (
        "Above, how often values occur, and where each calibration cuts. Below, the error that a cutoff causes: what "
        "is clipped falls as the cutoff moves to the right, what is rounded grows, and their sum has a lowest point. "
        "Calibrations differ in where they look for it."
    ),
}


@dataclass(frozen=True)
class Errors:
    """Errors by cutoff, root mean squares in the tensor's unit.

    Attributes:
        cutoffs: `(n,)` ascending.
        clipping: `(n,)` of the values beyond.
        rounding: `(n,)` of the others.
    """

    cutoffs: NDArray[np.float64]
    clipping: NDArray[np.float64]
    rounding: NDArray[np.float64]

    @property
    def total(self) -> NDArray[np.float64]:
        """Both together."""
        return np.asarray(np.hypot(self.clipping, self.rounding), np.float64)


def tradeoff(
    histogram: Histogram, cutoffs: Mapping[str, float | None], errors: Errors, custom: float, *, theme: Theme = "light"
) -> go.Figure:
    """Histogram of |x| with cutoffs, and below it the errors by cutoff.

    Args:
        histogram: of the tensor.
        cutoffs: by calibration, in the tensor's unit.
        errors: by cutoff.
        custom: the reader's own cutoff.
        theme: light or dark.
    """
    palette = PALETTES[theme]
    edges, counts, width = drawn_bins(histogram, signed=False, limit=256)
    most = float(counts.max())
    at = float(np.interp(custom, errors.cutoffs, errors.total))
    curve: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": errors.cutoffs, "xaxis": "x", "yaxis": "y2"}
    traces: list[dict[str, Any]] = [
        {
            "type": "bar",
            "x": edges + width / 2,
            "y": counts,
            "width": width,
            "marker": {"color": palette.fill, "line": {"width": 0}},
            "hovertemplate": "%{x:.3g}: %{y:,} values<extra></extra>",
            "showlegend": False,
        },
        curve | {"y": errors.clipping, "name": "clipped", "line": line(palette.clipping, 3)},
        curve | {"y": errors.rounding, "name": "rounded", "line": line(palette.plain, 3, "dash")},
        curve | {"y": errors.total, "name": "both", "line": line(palette.text, 3)},
        curve
        | {
            "x": [custom],
            "y": [at],
            "mode": "markers",
            "marker": {"size": 14, "color": calibration_colour(CUSTOM, theme)},
            "showlegend": False,
            "hovertemplate": f"your cutoff {custom:.4g}: error {at:.4g}<extra></extra>",
        },
    ]
    shapes: list[dict[str, Any]] = [
        {
            "type": "rect",
            "x0": custom,
            "x1": 1.02 * histogram.amax,
            "y0": _UPPER[0],
            "y1": 1,
            "yref": "paper",
            "fillcolor": faded(palette.clipping, 0.14),
            "line": {"width": 0},
        }
    ]
    for value, names in coincident(cutoffs):
        look = line(calibration_colour(names[0], theme), 2.5, calibration_dash(names[0]))
        shapes.append({"type": "line", "x0": value, "x1": value, "y0": 0, "y1": 1, "yref": "paper", "line": look})
        label = " = ".join(calibration_label(name) for name in names)
        key = {"type": "scatter", "mode": "lines", "x": [None], "y": [None], "name": f"{label} {value:.3g}"}
        traces.append(key | {"line": look, "legend": "legend2"})
    mine = line(calibration_colour(CUSTOM, theme), 3)
    shapes.append({"type": "line", "x0": custom, "x1": custom, "y0": 0, "y1": 1, "yref": "paper", "line": mine})
    base = layout(
        theme,
        height=430,
        margin={"l": 78, "r": 12, "t": 34, "b": 56},
        shapes=shapes,
        bargap=0,
        uirevision="tradeoff",
        xaxis=axis(theme, "|x|", range=[0, 1.02 * histogram.amax], showgrid=False, anchor="y2"),
        yaxis=axis(
            theme,
            "count",
            type="log",
            domain=list(_UPPER),
            range=[-0.3, np.log10(most) + 0.2],
            dtick=2,
            tickformat="~s",
        ),
        yaxis2=axis(theme, "error (RMS)", domain=list(_LOWER), range=[0, _highest(errors)], nticks=4),
    )
    base["legend2"] = base["legend"] | {"y": 1}
    base["legend"] = base["legend"] | {"y": _LOWER[1] + 0.01}
    return go.Figure({"data": traces, "layout": base})


def _highest(errors: Errors) -> float:
    """End of the axis of errors: room for what a reasonable cutoff costs, not for the first of them."""
    total = errors.total
    return 1.1 * min(float(total.max()), max(4 * float(total.min()), 1.3 * float(errors.rounding[-1])))
