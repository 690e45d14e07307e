"""The lesson on the cost of affine quantization: the operations of each term of Eq. 11 (section 3.3)."""

import math

import plotly.graph_objects as go

from qanalysis.figures.learn.look import axis, layout, words
from qanalysis.figures.look.theme import PALETTES, Theme, precision_colour
from qanalysis.numerics.affine import Operations

HOW_TO_READ = {
    "costs": (
        "Bars count the operations of each term on a logarithmic scale: a bar one tick longer means ten times as many. "
        "The grey one is done once, before the network runs. Red is what affine weights add to every inference: "
        "compare it with the first bar, which scale quantization needs, too."
    ),
}


def costs(operations: Operations, *, theme: Theme = "light") -> go.Figure:
    """Operations by term, with what term 3 adds to term 1."""
    palette = PALETTES[theme]
    rows = [
        ("(1)  Σ x w", operations.dot, precision_colour("int8", theme), "at every inference"),
        ("(2)  once", operations.offline, palette.fill, "before the network runs"),
        ("(2)  added", operations.bias, palette.plain, "or none, folded into a bias"),
        ("(3)  Σ x z", operations.online, palette.clipping, f"+{operations.overhead:.3g} % at every inference"),
    ]
    decades = math.ceil(math.log10(max(count for _, count, _, _ in rows)) + 0.01)
    return go.Figure(
        {
            "data": [
                {
                    "type": "bar",
                    "orientation": "h",
                    "y": list(range(len(rows))),
                    "x": [count for _, count, _, _ in rows],
                    "marker": {"color": [colour for _, _, colour, _ in rows], "line": {"width": 0}},
                    "hovertext": [f"{name}: {count:,} operations, {when}" for name, count, _, when in rows],
                    "hoverinfo": "text",
                    "width": 0.62,
                }
            ],
            "layout": layout(
                theme,
                height=300,
                margin={"l": 116, "r": 310, "t": 8, "b": 56},
                annotations=[
                    words(
                        f"{_short(count)}<span style='color:{palette.muted}'>  {when}</span>",
                        colour if name.startswith("(3)") else palette.text,
                        x=math.log10(max(count, 1)),
                        y=i,
                        xanchor="left",
                        xshift=8,
                    )
                    for i, (name, count, colour, when) in enumerate(rows)
                ],
                xaxis=axis(
                    theme, "operations (log scale)", type="log", range=[0, decades], dtick=1, exponentformat="power"
                ),
                yaxis=axis(
                    theme,
                    tickvals=list(range(len(rows))),
                    ticktext=[name for name, _, _, _ in rows],
                    range=[3.5, -0.5],
                    showgrid=False,
                    tickfont={"color": palette.text, "size": 16},
                ),
            ),
        }
    )


def _short(count: int) -> str:
    """Three digits and a unit: 115 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)
