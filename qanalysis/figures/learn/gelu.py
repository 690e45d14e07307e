"""The lesson on GELU and Swish: how many of their negative values a symmetric range leaves (Appendix D, Fig. 7)."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from qanalysis.figures.learn.look import axis, layout, words
from qanalysis.figures.look.theme import PALETTES, Theme, line, precision_colour
from qanalysis.numerics.activations import ACTIVATIONS, Activation
from qanalysis.numerics.codes import codes, reals, rounded
from qanalysis.numerics.spec import QuantizerSpec, Range

HOW_TO_READ = {
    "near_zero": (
        "The thin line is the activation itself near zero, where it is negative; the thick one is what is left of it "
        "after quantization to the range, and dotted lines are the values that codes stand for. Where no dotted line "
        "is close to the dip, everything negative becomes zero."
    ),
}


def near_zero(activation: Activation, end: float, bits: int, *, theme: Theme = "light") -> go.Figure:
    """The composition of the activation and fake quantization to [-end, end], near zero (Fig. 7b).

    Args:
        activation: GELU or Swish.
        end: of the symmetric range.
        bits: of the activation.
        theme: light or dark.
    """
    palette = PALETTES[theme]
    spec, range_ = QuantizerSpec(bits), Range(-end, end)
    x = np.linspace(-6, 2, 1601)
    y = ACTIVATIONS[activation](x)
    low, high = -0.42, 0.62
    levels = reals(np.arange(spec.code_min, spec.code_max + 1), range_, spec)
    near = levels[(levels > low) & (levels < high)]
    negative = sorted({int(code) for code in codes(y, range_, spec) if code < 0})
    said = (
        f"{len(negative)} negative code{'' if len(negative) == 1 else 's'} left"
        if negative
        else "no negative value left"
    )
    integer = precision_colour("int8", theme)
    curve: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": x}
    traces = [
        curve | {"y": y, "name": activation, "line": line(precision_colour("fp32", theme), 2.5)},
        curve
        | {
            "y": rounded(y, range_, spec),
            "name": f"in int{bits}, range [-{end:g}, {end:g}]",
            "line": line(integer, 3.5) | {"shape": "hv"},
            "hovertemplate": "%{x:.2f} becomes %{y:.4g}<extra></extra>",
        },
    ]
    return go.Figure(
        {
            "data": traces,
            "layout": layout(
                theme,
                height=350,
                margin={"l": 70, "r": 12, "t": 34, "b": 56},
                shapes=[
                    {"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": v, "y1": v, "layer": "below"}
                    | {"line": line(palette.muted, 1.2, "dot")}
                    for v in near.tolist()
                ],
                annotations=[
                    words(
                        f"<b>{said}</b>",
                        integer if negative else palette.clipping,
                        x=-5.9,
                        y=0.5,
                        xanchor="left",
                        bgcolor=palette.page,
                    )
                ],
                xaxis=axis(theme, f"input of {activation}", range=[-6, 2], showgrid=False),
                yaxis=axis(theme, "output", range=[low, high], showgrid=False),
            ),
        }
    )
