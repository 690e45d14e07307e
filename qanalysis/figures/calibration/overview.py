"""All activations against all calibrations, to find the odd ones."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from qanalysis.figures.look.labels import name_margin, shortened
from qanalysis.figures.look.theme import PALETTES, Theme, axis, blank, layout, line
from qanalysis.insight.words import calibration_label
from qanalysis.numerics.error import quantization_error
from qanalysis.numerics.histogram import Histogram
from qanalysis.numerics.spec import QuantizerSpec, Range
from qanalysis.schema.observations import Observations
from qanalysis.schema.results.calibration import CalibrateResult

Quantity = Literal["ratio", "sqnr"]

#: The colour scale reaches down at least to this ratio, and over this many dB, so that small differences look small.
LOWEST_RATIO, SQNR_SPAN = 0.25, 15.0

HOW_TO_READ = {
    "ratio": (
        "One row per layer in the order of execution, one column per calibration; the number is the cutoff as a share "
        "of the largest value seen. A row that stands out has outliers far from everything else: there the choice of "
        "calibration matters most."
    ),
    "sqnr": (
        "One row per layer in the order of execution, one column per calibration; the number is the signal over the "
        "quantization error in dB, higher is better. A row that stands out is hard to quantize whatever the cutoff; a "
        "cell that stands out is a calibration that fails on this layer."
    ),
}


def heatmap(
    observations: Observations,
    result: CalibrateResult,
    *,
    theme: Theme = "light",
    quantity: Quantity = "ratio",
    selected: str | None = None,
) -> go.Figure:
    """All activations × all calibrations of a result: `ratio` or `sqnr`, with the histograms that belong to it."""
    histograms = {str(tensor): histogram for tensor, histogram in observations.histograms.items()}
    if quantity == "ratio":
        maxima = {key: histogram.amax for key, histogram in histograms.items()}
        return ratio(result.ranges, maxima, theme=theme, selected=selected)
    spec = QuantizerSpec(result.params.bits, result.params.activation_scheme)
    values = {
        name: {key: _sqnr(histogram, result.range_of(name, key), spec) for key, histogram in histograms.items()}
        for name in result.ranges
    }
    return sqnr(values, theme=theme, selected=selected)


def ratio(
    ranges: Mapping[str, Mapping[str, float | None]],
    maxima: Mapping[str, float],
    *,
    theme: Theme = "light",
    selected: str | None = None,
) -> go.Figure:
    """Cutoff over the largest magnitude, on a logarithmic colour scale: 1 clips nothing.

    Args:
        ranges: calibration → activation → cutoff in the tensor's unit, as in `CalibrateResult.ranges`; None is empty.
        maxima: largest magnitude of every activation, in the tensor's unit and in the order of execution.
        theme: light or dark.
        selected: activation whose row is outlined.
    """
    shares = {
        name: {key: _share(row.get(key), maximum) for key, maximum in maxima.items()} for name, row in ranges.items()
    }
    known = (share for row in shares.values() for share in row.values() if share is not None)
    lowest = min([LOWEST_RATIO, *known])
    ladder = (1, 0.7, 0.5, 0.35, 0.25) if lowest > 0.1 else (1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 1e-3, 1e-4, 1e-5)
    ticks = [tick for tick in ladder if tick >= 0.98 * lowest]

    def hover(name: str, key: str, share: float) -> str:
        return f"cut at {share * maxima[key]:.5g}, {100 * share:.4g} % of the largest value {maxima[key]:.5g}"

    return _map(
        shares,
        list(maxima),
        theme=theme,
        selected=selected,
        colour=lambda share: -math.log10(share),
        limits=(0.0, -math.log10(lowest)),
        words=lambda share: f"{share:.2g}" if share < 0.995 else "1",
        hover=hover,
        bar={"title": "cutoff / max", "ticks": [(-math.log10(tick), f"{tick:g}") for tick in ticks]},
    )


def sqnr(
    values: Mapping[str, Mapping[str, float | None]], *, theme: Theme = "light", selected: str | None = None
) -> go.Figure:
    """Signal to quantization noise ratio of every activation under every calibration.

    Args:
        values: calibration → activation, in the order of execution → dB; None is empty, infinity is no error at all.
        theme: light or dark.
        selected: activation whose row is outlined.
    """
    keys = list(dict.fromkeys(key for row in values.values() for key in row))
    finite = [value for row in values.values() for value in row.values() if value is not None and math.isfinite(value)]
    high = max(finite, default=0.0)
    low = min([high - SQNR_SPAN, *finite])
    step = max(1, round((high - low) / 5))
    ticks = range(math.ceil(low / step) * step, math.floor(high) + 1, step)
    return _map(
        values,
        keys,
        theme=theme,
        selected=selected,
        colour=lambda value: -min(value, high),
        limits=(-high, -low),
        words=lambda value: "no error" if math.isinf(value) else f"{value:.0f}",
        hover=lambda name, key, value: "no error" if math.isinf(value) else f"SQNR {value:.2f} dB",
        bar={"title": "SQNR (dB)", "ticks": [(-tick, str(tick)) for tick in ticks]},
    )


def _share(cutoff: float | None, maximum: float) -> float | None:
    return None if cutoff is None or cutoff <= 0 or maximum <= 0 else cutoff / maximum


def _sqnr(histogram: Histogram, range_: Range | None, spec: QuantizerSpec) -> float | None:
    return None if range_ is None else quantization_error(histogram, range_, spec).sqnr


def _map(
    values: Mapping[str, Mapping[str, float | None]],
    keys: list[str],
    *,
    theme: Theme,
    selected: str | None,
    colour: Callable[[float], float],
    limits: tuple[float, float],
    words: Callable[[float], str],
    hover: Callable[[str, str, float], str],
    bar: dict[str, Any],
) -> go.Figure:
    if not keys or not values:
        return blank("No activation was observed yet: run the calibration first.", theme)
    palette = PALETTES[theme]
    names = list(values)
    cells = [[values[name].get(key) for name in names] for key in keys]
    z = np.array([[np.nan if cell is None else colour(cell) for cell in row] for row in cells], np.float32)
    texts = [
        [
            f"{key}<br>{calibration_label(name)}: {'all values are zero' if cell is None else hover(name, key, cell)}"
            for name, cell in zip(names, row, strict=True)
        ]
        for key, row in zip(keys, cells, strict=True)
    ]
    height = 22 if len(keys) <= 40 else 16
    rows = max(len(keys), 6)
    labels = [shortened(key) for key in keys]
    trace = {
        "type": "heatmap",
        "x": list(range(len(names))),
        "y": list(range(len(keys))),
        "z": z,
        "zmin": limits[0],
        "zmax": limits[1],
        "customdata": [[key] * len(names) for key in keys],
        "text": [["" if cell is None else words(cell) for cell in row] for row in cells],
        "texttemplate": "%{text}",
        "textfont": {"size": 11 if height > 16 else 10},
        "hovertext": texts,
        "hoverinfo": "text",
        "hoverongaps": True,
        "xgap": 2,
        "ygap": 1,
        "colorscale": [[i / (len(palette.scale) - 1), shade] for i, shade in enumerate(palette.scale)],
        "colorbar": {
            "title": {"text": bar["title"], "font": {"color": palette.text, "size": 12}, "side": "right"},
            "tickvals": [value for value, _ in bar["ticks"]],
            "ticktext": [text for _, text in bar["ticks"]],
            "tickfont": {"color": palette.muted, "size": 11},
            "thickness": 12,
            "outlinewidth": 0,
            "lenmode": "pixels",
            "len": min(260, height * rows),
            "y": 1,
            "yanchor": "top",
        },
    }
    outline = []
    if selected in keys:
        row = keys.index(selected)
        box = {"x0": -0.5, "x1": len(names) - 0.5, "y0": row - 0.5, "y1": row + 0.5, "fillcolor": "rgba(0,0,0,0)"}
        outline = [{"type": "rect", **box, "line": line(palette.text, 2.5)}]
    return go.Figure(
        {
            "data": [trace],
            "layout": layout(
                theme,
                height=70 + height * rows,
                margin={"l": name_margin(labels), "r": 8, "t": 46, "b": 12},
                shapes=outline,
                xaxis=axis(
                    theme,
                    side="top",
                    tickvals=list(range(len(names))),
                    ticktext=[calibration_label(name).replace(" ", "<br>") for name in names],
                    tickangle=0,
                    range=[-0.5, len(names) - 0.5],
                    showgrid=False,
                    tickfont={"color": palette.text, "size": 12},
                ),
                yaxis=axis(
                    theme,
                    tickvals=list(range(len(keys))),
                    ticktext=labels,
                    range=[rows - 0.5, -0.5],
                    showgrid=False,
                    tickfont={"color": palette.text, "size": 12 if height > 16 else 11},
                ),
            ),
        }
    )
