"""Weights on their way onto the quantization grid (Fig. 6): one layer, before training and now."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from qanalysis.figures.look.theme import PALETTES, Theme, axis, blank, faded, layout, line, precision_colour
from qanalysis.schema.results.trace import BINS_PER_CODE, CODES, Trace, positions

_HEIGHT, _BOTTOM = 340, 48
#: Weights that a bin should hold on average: with fewer, chance makes a comb of it.
_FULL = 60


def weights(trace: Trace, site: str, *, epoch: int | None = None, theme: Theme = "light") -> go.Figure:
    """Distribution of a layer's weights in units of their step, before training and after an epoch.

    Args:
        trace: of the run.
        site: with a quantized weight.
        epoch: one of those in the trace; None for the last.
        theme: light or dark.
    """
    if site not in trace.sites or not len(trace.epochs):
        return blank("No quantized weights have been looked at yet.", theme, _HEIGHT)
    palette = PALETTES[theme]
    number = trace.sites.index(site)
    noted = [int(number) for number in trace.epochs]
    now = noted.index(epoch) if epoch in noted else len(noted) - 1
    largest = int(trace.codes[number])
    view = min(largest, CODES) + 0.5
    per_code = _per_code(trace.weights[0, number])
    before, after = (_coarse(trace.weights[i, number], per_code) for i in (0, now))
    x = positions()[:: BINS_PER_CODE // per_code].astype(np.float32)
    data = [_area(x, before, "before training", palette.fill, faded(palette.fill, 0.45))]
    name = f"after epoch {trace.epochs[now]}"
    colour = precision_colour("int8", theme)
    if now > 0:
        data.append(_area(x, after, name, colour, faded(colour, 0.28)))
    inner = np.abs(x) < min(largest, CODES) - 0.25  # the outermost code always has one weight of each channel
    top = 1.12 * max(float(before[inner].max(initial=0)), float(after[inner].max(initial=0)), 1e-6)
    codes = range(-min(largest, CODES), min(largest, CODES) + 1)
    shapes = [
        {"type": "line", "x0": c, "x1": c, "y0": 0, "y1": 1, "yref": "paper", "line": line(palette.muted, 1, "dot")}
        for c in codes
    ]
    part = f" (of ±{largest} codes, the inner ±{CODES})" if largest > CODES else f" (codes −{largest} to {largest})"
    return go.Figure(
        {
            "data": data,
            "layout": layout(
                theme,
                height=_HEIGHT,
                margin={"t": 36, "b": _BOTTOM, "l": 60},
                shapes=[shape | {"layer": "below"} for shape in shapes],
                showlegend=True,
                xaxis=axis(theme, f"weight / step{part}", range=[-view, view], dtick=1, showgrid=False),
                yaxis=axis(theme, "weights (% per code)", range=[0, top]),
            ),
        }
    )


def _per_code(counts: NDArray[np.uint32]) -> int:
    """Bins per code so few that most hold enough weights."""
    per_code, mean = BINS_PER_CODE, counts.sum() / max(int((counts > 0).sum()), 1)
    while mean < _FULL and per_code > 4:
        per_code, mean = per_code // 2, 2 * mean
    return per_code


def _coarse(counts: NDArray[np.uint32], per_code: int) -> NDArray[np.float32]:
    """Density in % per code, with so many bins per code.

    Halving the number of bins gives half of every second bin to each neighbour, so that bins stay centred on codes.
    """
    values, bins = counts.astype(np.float64), BINS_PER_CODE
    while bins > per_code:
        outer = np.pad(values, 1)
        values = (outer[1:-1] + (outer[:-2] + outer[2:]) / 2)[::2]
        bins //= 2
    return np.asarray(100 * values * per_code / max(float(counts.sum()), 1.0), np.float32)


def _area(x: NDArray[np.float32], y: NDArray[np.float32], name: str, colour: str, fill: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "name": name,
        "fill": "tozeroy",
        "fillcolor": fill,
        "line": line(colour, 1.4) | {"shape": "hvh"},
        "hovertemplate": "at %{x:.2f} steps: %{y:.2f} % per code<extra>" + name + "</extra>",
    }
