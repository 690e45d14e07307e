"""Parity: how far the exported file and the simulation are apart, layer by layer."""

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from qanalysis.figures.look.labels import shortened
from qanalysis.figures.look.theme import PALETTES, Theme, annotation, axis, blank, layout, line, precision_colour
from qanalysis.schema.results.export import SiteParity

HOW_TO_READ = {
    "sites": (
        "One column per layer in the order of execution: how far the file's numbers are from the simulation's, as a "
        "share of the largest, on a logarithmic scale. Rounding of floating point gives about a millionth; above the "
        "dotted line a layer would compute something else, and the export would be an error that names it."
    ),
}

#: Differences below this lie on the bottom.
_LOWEST = 1e-8
_NAMED = 40


def sites(rows: Sequence[SiteParity], tolerance: float, *, theme: Theme = "light") -> go.Figure:
    """Relative differences of every site: before it, given all earlier ones, and of its own output.

    Args:
        rows: in the order of execution.
        tolerance: what is still the same computation.
        theme: light or dark.
    """
    if not rows:
        return blank("No layer has been compared.", theme)
    palette = PALETTES[theme]
    looks: tuple[tuple[str, str, str], ...] = (
        ("what the layer computes", "output", "diamond"),
        ("what lies before it", "before", "circle-open"),
    )
    traces: list[dict[str, Any]] = []
    for name, field, symbol in looks:
        values = [float(getattr(row, field)) for row in rows]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": list(range(1, len(rows) + 1)),
                "y": [max(value, _LOWEST) for value in values],
                "marker": {
                    "symbol": symbol,
                    "size": 8,
                    "color": [precision_colour("int8" if row.int8 else "fp32", theme) for row in rows],
                    "line": {"width": 1.2, "color": palette.muted},
                },
                "hovertext": [
                    f"<b>{row.site}</b>, {'int8' if row.int8 else 'floating point'}<br>{name}: {value:.1e}"
                    for row, value in zip(rows, values, strict=True)
                ],
                "hoverinfo": "text",
                "cliponaxis": False,
            }
        )
    top = max([10 * tolerance, *(max(row.before, row.output) for row in rows)])
    limit = {"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": tolerance, "y1": tolerance}
    names = [shortened(row.site, 22) for row in rows]
    named = len(rows) <= _NAMED
    below = round(6 * max(len(name) for name in names)) if named else 24
    ticks = (
        {"tickvals": list(range(1, len(rows) + 1)), "ticktext": names, "tickangle": -60} if named else {"nticks": 20}
    )
    return go.Figure(
        {
            "data": traces,
            "layout": layout(
                theme,
                height=300 + below,
                margin={"t": 36, "b": 28 + below, "l": 76},
                shapes=[{**limit, "line": line(palette.clipping, 1.5, "dot")}],
                annotations=[
                    annotation(
                        "tolerance",
                        palette.clipping,
                        x=1,
                        xref="paper",
                        xanchor="right",
                        y=math.log10(tolerance),
                        yshift=9,
                    )
                ],
                xaxis=axis(
                    theme,
                    "" if named else "layers in the order of execution",
                    range=[0.3, len(rows) + 0.7],
                    showgrid=False,
                    **ticks,
                ),
                yaxis=axis(
                    theme,
                    "relative difference",
                    type="log",
                    range=[math.log10(_LOWEST) - 0.2, math.log10(top)],
                    dtick=1,
                    exponentformat="power",
                ),
            ),
        }
    )
