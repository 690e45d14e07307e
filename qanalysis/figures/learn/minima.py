"""The lesson on narrow and wide minima: two descents on a loss of one weight, as an animation (Fig. 6)."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from qanalysis.figures.learn.look import axis, layout, words
from qanalysis.figures.look.theme import PALETTES, Theme, line, precision_colour
from qanalysis.numerics.minima import TwoMinima, quantized

_ENDS = (-2.05, 2.55)
#: Places of the traces that move, left and right: the way from weight to quantized weight, the one, the other.
_MOVING = (2, 3, 4, 7, 8, 9)

HOW_TO_READ = {
    "descents": (
        "The curve is the loss of a network with one weight; squares are the only weights that it can have once "
        "quantized. Left, the weight (round) follows the slope where it is, and is rounded when all is done. Right, it "
        "follows the slope at its rounded value. What counts is where the square ends."
    ),
}


def descents(
    loss: TwoMinima, plain: NDArray[np.float64], aware: NDArray[np.float64], *, theme: Theme = "light"
) -> go.Figure:
    """PTQ on the left and QAT on the right, at the first step; `layout.meta` has all of them.

    Args:
        loss: that both descend on.
        plain: `(steps + 1,)` weights of a descent by the slope at the weight.
        aware: `(steps + 1,)` weights of one by the slope at the quantized weight.
        theme: light or dark.
    """
    palette = PALETTES[theme]
    x = np.linspace(*_ENDS, 400)
    grid = np.arange(np.ceil(_ENDS[0]), np.floor(_ENDS[1]) + 1)
    real, integer = precision_colour("fp32", theme), precision_colour("int8", theme)
    traces: list[dict[str, Any]] = []
    for suffix in ("", "2"):
        base: dict[str, Any] = {"type": "scatter", "xaxis": "x" + suffix, "yaxis": "y" + suffix, "hoverinfo": "skip"}
        legend = {"showlegend": suffix == ""}
        traces += [
            base
            | {
                "x": x,
                "y": loss(x),
                "mode": "lines",
                "line": line(palette.text, 3) | {"simplify": False},
                "name": "loss",
            }
            | legend,
            base
            | {"x": grid, "y": loss(grid), "mode": "markers", "name": "quantized weights"}
            | {"marker": {"symbol": "square-open", "size": 11, "color": integer, "line": {"width": 2}}}
            | legend,
            *_moving(loss, float(plain[0] if suffix == "" else aware[0]), base, legend, real, integer),
        ]
    top = 1.12 * float(loss(np.array(_ENDS)).max())

    def horizontal(domain: list[float], anchor: str) -> dict[str, Any]:
        return axis(theme, "weight w", range=list(_ENDS), domain=domain, anchor=anchor, dtick=1, showgrid=False)

    ends = [float(loss(quantized(weights[-1]))) for weights in (plain, aware)]
    titles = (f"<b>a) PTQ</b>: ends with loss {ends[0]:.2f}", f"<b>b) QAT</b>: ends with loss {ends[1]:.2f}")
    return go.Figure(
        {
            "data": traces,
            "layout": layout(
                theme,
                meta={"frames": _frames(loss, plain, aware)},
                height=380,
                margin={"l": 64, "r": 12, "t": 66, "b": 56},
                legend={"y": 1.1},
                annotations=[
                    words(
                        title, palette.text, x=place, y=1, xref="paper", yref="paper", xanchor="left", yanchor="bottom"
                    )
                    for title, place in zip(titles, (0.0, 0.54), strict=True)
                ],
                xaxis=horizontal([0, 0.47], "y"),
                yaxis=axis(theme, "loss", range=[0, top], nticks=5),
                xaxis2=horizontal([0.54, 1], "y2"),
                yaxis2=axis(theme, "", range=[0, top], anchor="x2", nticks=5, showticklabels=False),
            ),
        }
    )


def _frames(loss: TwoMinima, plain: NDArray[np.float64], aware: NDArray[np.float64]) -> dict[str, Any]:
    """Where the moving marks are at every step, as `chart.js` plays it: 100 frames of Plotly take 150 ms to check."""
    x, y = [], []
    for weights in (plain, aware):
        goals = quantized(weights)
        here, there = loss(weights), loss(goals)
        x += [np.stack((weights, goals), 1).tolist(), weights[:, None].tolist(), goals[:, None].tolist()]
        y += [np.stack((here, there), 1).tolist(), here[:, None].tolist(), there[:, None].tolist()]
    return {"traces": list(_MOVING), "x": x, "y": y}


def _moving(
    loss: TwoMinima, weight: float, base: dict[str, Any], legend: dict[str, Any], real: str, integer: str
) -> list[dict[str, Any]]:
    goal = float(quantized(weight))
    here, there = float(loss(weight)), float(loss(goal))
    way, point, square = (
        {"x": [weight, goal], "y": [here, there]},
        {"x": [weight], "y": [here]},
        {"x": [goal], "y": [there]},
    )
    return [
        base | way | {"mode": "lines", "line": line(integer, 2, "dot"), "showlegend": False},
        base | point | {"mode": "markers", "marker": {"size": 17, "color": real}, "name": "weight"} | legend,
        base
        | square
        | {"mode": "markers", "marker": {"size": 17, "symbol": "square", "color": integer}, "name": "rounded"}
        | legend,
    ]
