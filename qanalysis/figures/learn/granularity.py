"""The lesson on granularity: a matrix rounded with one range for all, and with one for each column (section 3.2)."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from qanalysis.figures.learn.look import axis, layout, words
from qanalysis.figures.look.theme import PALETTES, Theme
from qanalysis.numerics.codes import matrix_codes
from qanalysis.numerics.spec import QuantizerSpec

#: Square root of 100 %: errors are shaded by their square root, so that small ones show, too.
_DARKEST = 10.0

HOW_TO_READ = {
    "matrices": (
        "Each cell shows the weight as it comes back from its integer code, and the code; the stronger the colour, the "
        "more it is off, as a share of the largest weight of its column. On the left all columns share one step, on "
        "the right each has its own, in the last row."
    ),
}


def matrices(weight: np.ndarray[Any, Any], bits: int, *, theme: Theme = "light") -> go.Figure:
    """A weight matrix `(p, n)` after fake quantization, per tensor on the left and per column on the right.

    Args:
        weight: an output channel in each column.
        bits: of the weights.
        theme: light or dark.
    """
    palette = PALETTES[theme]
    rows, columns = weight.shape
    names = [f"channel {j + 1}" for j in range(columns)]
    traces, notes = [], []
    largest = np.abs(weight).max(0)
    for side, channel_axis in enumerate((None, 1)):
        codes, steps = matrix_codes(weight, QuantizerSpec(bits, channel_axis=channel_axis))
        back = codes * steps
        off = 100 * np.abs(back - weight) / np.where(largest > 0, largest, 1)
        shades = np.sqrt(np.minimum(off, 100))
        suffix = "" if side == 0 else "2"
        traces.append(
            {
                "type": "heatmap",
                "z": shades,
                "zmin": 0,
                "zmax": _DARKEST,
                "x": list(range(columns)),
                "y": list(range(rows)),
                "xaxis": "x" + suffix,
                "yaxis": "y" + suffix,
                "colorscale": [[i / 7, colour] for i, colour in enumerate(palette.scale)],
                "showscale": False,
                "xgap": 3,
                "ygap": 3,
                "customdata": np.stack((weight, back, codes, off), 2),
                "hovertemplate": "weight %{customdata[0]:.5g}<br>comes back as %{customdata[1]:.5g}<br>"
                "code %{customdata[2]:d}<br>off by %{customdata[3]:.3g} % of its channel's largest<extra></extra>",
            }
        )
        axes = {"xref": "x" + suffix, "yref": "y" + suffix}
        for i in range(rows):
            for j in range(columns):
                text = f"{back[i, j]:.3g}<br>({codes[i, j]})"
                notes.append(words(text, _ink(shades[i, j] / _DARKEST, theme), x=j, y=i, **axes))
        notes += [
            words(f"step<br>{steps[j]:.3g}", palette.muted, x=j, y=rows - 0.5, yshift=-26, **axes)
            for j in range(columns)
        ]
        title = f"<b>{'per tensor' if side == 0 else 'per channel'}</b>: off by {off.mean():.1f} % on average"
        domain = {"x": 0 if side == 0 else 0.54, "xref": "paper", "xanchor": "left", "y": 1, "yref": "paper"}
        notes.append(words(title, palette.text, yanchor="bottom", yshift=28, **domain))

    def horizontal(domain: list[float]) -> dict[str, Any]:
        return axis(
            theme, tickvals=list(range(columns)), ticktext=names, side="top", ticks="", showgrid=False, domain=domain
        )

    hidden: dict[str, Any] = {
        "range": [rows - 0.5, -0.5],
        "showgrid": False,
        "showticklabels": False,
        "ticks": "",
        "tickvals": [0],
        "ticktext": [" "],
    }
    return go.Figure(
        {
            "data": traces,
            "layout": layout(
                theme,
                height=110 + 62 * rows,
                margin={"l": 8, "r": 8, "t": 62, "b": 48},
                annotations=notes,
                xaxis=horizontal([0, 0.46]),
                yaxis=axis(theme, **hidden),
                xaxis2=horizontal([0.54, 1]) | {"anchor": "y2"},
                yaxis2=axis(theme, **hidden) | {"anchor": "x2"},
            ),
        }
    )


def _ink(shade: float, theme: Theme) -> str:
    """Words on a cell whose colour lies at this share of the scale: white or nearly black, whichever stands out."""
    scale = PALETTES[theme].scale
    colour = scale[round(shade * (len(scale) - 1))]
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#ffffff" if 0.299 * red + 0.587 * green + 0.114 * blue < 125 else "#101420"
