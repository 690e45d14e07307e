"""Layers of a benchmark: the time of each in every precision, conversions of its inputs apart."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from qanalysis.figures.look.labels import name_margin, shortened
from qanalysis.figures.look.theme import (
    CLEAR,
    PALETTES,
    Theme,
    annotation,
    axis,
    blank,
    faded,
    layout,
    precision_colour,
)
from qanalysis.schema.results.benchmark import LayerRow

#: Height of a bar, space between layers, and what is above and below the plot, in px.
_BAR, _GAP, _TOP, _BOTTOM = 9, 8, 40, 52


def layers(rows: Sequence[LayerRow], precisions: Sequence[str], *, theme: Theme = "light") -> go.Figure:
    """Time of every layer as bars, one for each precision; the conversion of its inputs is the pale end.

    Args:
        rows: in the order to draw them.
        precisions: those to draw, from the top.
        theme: light or dark.
    """
    precisions = [name for name in precisions if any(name in row.ms for row in rows)]
    if not rows or not precisions:
        return blank("No layer has been measured.", theme)
    palette = PALETTES[theme]
    names = [shortened(row.site) for row in rows]
    count, step = len(precisions), 1 / (len(precisions) + _GAP / _BAR)
    traces: list[dict[str, Any]] = []
    for number, precision in enumerate(precisions):
        colour = precision_colour(precision, theme)
        at = [i + (number - (count - 1) / 2) * step for i in range(len(rows))]
        ms = [row.ms.get(precision, 0.0) for row in rows]
        conversions = [row.conversion_ms.get(precision, 0.0) for row in rows]
        hovers = [_hover(row, precision) for row in rows]
        common = {"type": "bar", "orientation": "h", "y": at, "width": 0.9 * step}
        common |= {"hovertext": hovers, "hoverinfo": "text", "customdata": [[row.site] for row in rows]}
        common |= {"legendgroup": precision}
        look = {"color": faded(colour, 0.75), "line": {"width": 1, "color": colour}}
        pale = {"color": faded(colour, 0.2), "line": {"width": 1, "color": colour}}
        traces.append({**common, "name": precision, "x": ms, "marker": look})
        if any(conversions):
            name = f"converting inputs, {precision}"
            traces.append({**common, "name": name, "x": conversions, "base": ms, "marker": pale})
    end = 1.02 * max(row.ms.get(name, 0.0) + row.conversion_ms.get(name, 0.0) for row in rows for name in precisions)
    right = {"x": 1, "xref": "paper", "xanchor": "left", "xshift": 8}
    words = [
        annotation(f"{row.speedup:.1f} ×", palette.clipping if row.speedup < 1 else palette.muted, y=i, **right)
        for i, row in enumerate(rows)
        if row.speedup is not None
    ]
    slow = {i for i, row in enumerate(rows) if row.speedup is not None and row.speedup < 1}
    return go.Figure(
        {
            "data": traces,
            "layout": layout(
                theme,
                height=max(_TOP + _BOTTOM + (_BAR * count + _GAP) * len(rows), 200),
                barmode="overlay",
                margin={"t": _TOP, "b": _BOTTOM, "l": name_margin(names), "r": 62},
                legend={"yref": "container", "y": 1, "yanchor": "top"},
                annotations=words,
                xaxis=axis(theme, "time (ms)", range=[0, end or 1.0]),
                yaxis=axis(
                    theme,
                    tickvals=list(range(len(rows))),
                    ticktext=[
                        f'<span style="color:{palette.clipping}">{name}</span>' if i in slow else name
                        for i, name in enumerate(names)
                    ],
                    range=[len(rows) - 0.5, -0.5],
                    fixedrange=True,
                    showgrid=False,
                    tickfont={"color": palette.text, "size": 12},
                    gridcolor=CLEAR,
                ),
            ),
        }
    )


def _hover(row: LayerRow, precision: str) -> str:
    if precision not in row.ms:
        return f"<b>{row.site}</b><br>not measured in {precision}"
    ran = row.ran.get(precision) or "the engine does not tell"
    lines = [
        f"<b>{row.site}</b>, {row.kind}, {row.macs / 1e6:,.3g} M MACs per image",
        f"asked for {precision}, really ran in {ran}: {row.kernel.get(precision) or 'unnamed kernel'}",
        f"{row.ms[precision]:.4f} ms, converting its inputs {row.conversion_ms.get(precision, 0.0):.4f} ms",
    ]
    if precision in row.roof:
        lines.append(
            f"{row.gops[precision]:,.0f} Gop/s, {100 * row.roof[precision]:.0f} % of what this machine reaches; "
            f"{_LIMITS[row.bound[precision]]} is the limit"
        )
    if row.fused_with:
        lines.append(f"executed together with {', '.join(row.fused_with[:3])}")
    return "<br>".join(lines)


_LIMITS = {"compute": "arithmetic", "memory": "memory"}
