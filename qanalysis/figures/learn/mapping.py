"""The lesson on affine and scale mapping: real values above, integer codes below (Fig. 1)."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from qanalysis.figures.learn.look import axis, bare, layout, words
from qanalysis.figures.look.theme import PALETTES, Theme, faded, line, precision_colour
from qanalysis.numerics.codes import codes, reals, represented
from qanalysis.numerics.spec import QuantizerSpec, Range, step_and_zero_point

#: Up to so many codes, the values that share one are drawn as a strip.
_STRIPS = 64

HOW_TO_READ = {
    "mapping": (
        "Above, the real numbers with the range that is represented; below, the integer codes, each under the real "
        "value that it stands for. Your value goes down to its code and comes back at the code's value: the distance "
        "is its error. Values in one strip share a code; those in red are clipped to the end."
    ),
}


def mapping(spec: QuantizerSpec, range_: Range, value: float, *, theme: Theme = "light") -> go.Figure:
    """Reals mapped to codes, with one value on its way there and back (Eq. 1-8).

    Args:
        spec: bits and scheme.
        range_: [beta, alpha]; scale quantization takes the larger magnitude to both sides.
        value: the reader's own.
        theme: light or dark.
    """
    palette = PALETTES[theme]
    _, zero_point = step_and_zero_point(range_, spec)
    low, high = represented(range_, spec).beta, represented(range_, spec).alpha
    every = np.arange(spec.code_min, spec.code_max + 1)
    places = reals(every, range_, spec)
    code = int(codes(value, range_, spec))
    back = float(reals(code, range_, spec))
    left, right = min(low, value), max(high, value)
    air = 0.09 * (right - left)
    span = (left - air, right + air)
    ink, clipping, mine = palette.text, palette.clipping, palette.accent
    real, integer = precision_colour("fp32", theme), precision_colour("int8", theme)
    base: dict[str, Any] = {"type": "scatter", "showlegend": False, "hoverinfo": "skip"}
    traces = [
        base | {"x": list(span), "y": [1, 1], "mode": "lines", "line": line(real, 3)},
        base | {"x": [low, high], "y": [0, 0], "mode": "lines", "line": line(integer, 3)},
        base
        | {
            "x": places,
            "y": np.zeros(len(places)),
            "mode": "markers",
            "marker": {
                "symbol": "line-ns",
                "size": 14,
                "line": {"width": 1.5 if len(places) <= _STRIPS else 0.6, "color": integer},
            },
            "customdata": np.stack((every, places), 1),
            "hovertemplate": "code %{customdata[0]:d} stands for %{customdata[1]:.5g}<extra></extra>",
            "hoverinfo": None,
        },
        base
        | {"x": [value, back, back], "y": [1, 0, 1], "mode": "lines", "line": line(mine, 3, "solid"), "opacity": 0.9},
        base
        | {
            "x": [value, back, back],
            "y": [1, 0, 1],
            "mode": "markers",
            "marker": {
                "size": [15, 13, 15],
                "symbol": ["circle", "square", "circle-open"],
                "color": mine,
                "line": {"width": 3, "color": mine},
            },
        },
    ]
    at = {"xref": "x", "yref": "y"}
    # With few steps away from an end, zero and its code would stand on the words of that end: they have a row of own.
    notes = [
        words(f"β = {low:.4g}", ink, x=low, y=1, yshift=24, **at),
        words(f"α = {high:.4g}", ink, x=high, y=1, yshift=24, **at),
        words(f"{spec.code_min}", integer, x=low, y=0, yshift=-22, **at),
        words(f"{spec.code_max}", integer, x=high, y=0, yshift=-22, **at),
        words("0", real, x=0, y=1, yshift=46, **at),
        words(f"code of 0: {zero_point}", integer, x=0, y=0, yshift=-44, **at),
        words(f"<b>x = {value:.4g}</b>", mine, x=value, y=1, yshift=68, **at),
        words(f"<b>code {code}</b>, x̂ = {back:.4g}", mine, x=back, y=0, yshift=-66, **at),
    ]
    # The words of an end must not run out of the plot.
    for note in notes:
        share = (note["x"] - span[0]) / (span[1] - span[0])
        note["xanchor"] = "left" if share < 0.12 else "right" if share > 0.88 else "center"
    shapes = [
        {"type": "line", "x0": 0, "x1": 0, "y0": 1, "y1": 0, "line": line(palette.muted, 1.5, "dot")},
        *({"type": "line", "x0": x, "x1": x, "y0": 1, "y1": 0, "line": line(palette.muted, 1)} for x in (low, high)),
        *_strips(places, span, theme),
        *_beyond(low, high, span, faded(clipping, 0.22)),
    ]
    return go.Figure(
        {
            "data": traces,
            "layout": layout(
                theme,
                height=330,
                margin={"l": 16, "r": 16, "t": 12, "b": 12},
                shapes=shapes,
                annotations=notes,
                xaxis=axis(theme, "", range=list(span), ticktext=[" "], tickvals=[0], **bare()),
                yaxis=axis(theme, "", range=[-0.72, 1.78], ticktext=[" "], tickvals=[0], **bare()),
            ),
        }
    )


def _strips(places: np.ndarray[Any, Any], span: tuple[float, float], theme: Theme) -> list[dict[str, Any]]:
    """Every other set of reals that shares a code, in one shape."""
    if len(places) > _STRIPS:
        return []
    half = float(places[1] - places[0]) / 2
    path = "".join(
        f"M{max(x - half, span[0]):.7g},0V1H{min(x + half, span[1]):.7g}V0Z" for x in places[1:-1:2].tolist()
    )
    look = {"fillcolor": faded(PALETTES[theme].accent, 0.13), "line": {"width": 0}, "layer": "below"}
    return [{"type": "path", "path": path, "xref": "x", "yref": "y"} | look]


def _beyond(low: float, high: float, span: tuple[float, float], colour: str) -> list[dict[str, Any]]:
    """What is clipped, a band along the real axis."""
    return [
        {"type": "rect", "x0": a, "x1": b, "y0": 0.94, "y1": 1.06, "fillcolor": colour, "line": {"width": 0}}
        for a, b in ((span[0], low), (high, span[1]))
    ]
