"""Roofline: layers against what memory and arithmetic of the machine allow; and products of matrices (Table 1)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from qanalysis.figures.look import series
from qanalysis.figures.look.series import End
from qanalysis.figures.look.theme import PALETTES, Theme, axis, blank, faded, layout, line, precision_colour
from qanalysis.schema.results.benchmark import GemmRow, LayerRow, Roofline

_HEIGHT, _TOP, _BOTTOM = 420, 36, 56
_SYMBOLS = {"fp32": "circle", "int8": "diamond", "bf16": "square", "fp16": "triangle-up", "int8+bf16": "star"}


def roofline(rows: Sequence[LayerRow], roof: Roofline | None, *, theme: Theme = "light") -> go.Figure:
    """Every layer in each precision that it really ran in, under the lines that the machine reached at best.

    Args:
        rows: the layers.
        roof: peaks that were measured.
        theme: light or dark.
    """
    points = [(row, name) for row in rows for name in row.gops if row.gops[name] > 0 and row.intensity.get(name)]
    if roof is None or not points:
        return blank("This benchmark has measured no layers, or no peaks to hold them against.", theme, _HEIGHT)
    palette = PALETTES[theme]
    low, high = _decades([row.intensity[name] for row, name in points])
    high = max(high, 2 * max(roof.peak_gops.values(), default=1.0) / roof.bandwidth_gbs)
    traces: list[dict[str, Any]] = []
    ends = []
    for name, peak in roof.peak_gops.items():
        colour = precision_colour(name, theme)
        ridge = peak / roof.bandwidth_gbs
        bend = [x for x in (low, ridge, high) if low <= x <= high]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": bend,
                "y": [min(peak, x * roof.bandwidth_gbs) for x in bend],
                "line": line(colour, 2),
                "hovertext": f"{name}: at best {peak:,.0f} Gop/s, memory {roof.bandwidth_gbs:.1f} GB/s",
                "hoverinfo": "text",
                "showlegend": False,
            }
        )
        ends.append(End(math.log10(peak), f"{name} {peak:,.0f}", colour))
    for name in dict.fromkeys(name for _, name in points):
        mine = [row for row, other in points if other == name]
        colour = precision_colour(name, theme)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"layers in {name}",
                "x": [row.intensity[name] for row in mine],
                "y": [row.gops[name] for row in mine],
                "marker": {
                    "color": faded(colour, 0.7),
                    "symbol": _SYMBOLS.get(name, "circle"),
                    "size": 9,
                    "line": {"width": 1, "color": palette.page},
                },
                "hovertext": [_hover(row, name) for row in mine],
                "hoverinfo": "text",
                "customdata": [[row.site] for row in mine],
            }
        )
    lowest = min(row.gops[name] for row, name in points)
    span = (math.log10(lowest) - 0.15, math.log10(max(roof.peak_gops.values(), default=1.0)) + 0.15)
    return go.Figure(
        {
            "data": traces,
            "layout": layout(
                theme,
                height=_HEIGHT,
                margin={"t": _TOP, "b": _BOTTOM, "r": series.room(ends)},
                annotations=series.ends(ends, span, _HEIGHT - _TOP - _BOTTOM),
                xaxis=_log(theme, "operations per byte moved", (math.log10(low), math.log10(high))),
                yaxis=_log(theme, "operations per second (10⁹)", span),
            ),
        }
    )


def gemm(rows: Sequence[GemmRow], *, theme: Theme = "light") -> go.Figure:
    """Throughput of products of square matrices against their size, a line for each precision."""
    if not rows:
        return blank("Products of matrices have not been measured.", theme)
    traces, ends = [], []
    for name in dict.fromkeys(row.precision for row in rows):
        mine = sorted((row for row in rows if row.precision == name), key=lambda row: row.size)
        hovers = [f"<b>{name}</b>, {row.size} × {row.size}<br>{row.gops:,.0f} Gop/s, {row.ms:.4g} ms" for row in mine]
        traces.append(_curve(name, [row.size for row in mine], [row.gops for row in mine], hovers, theme))
        ends.append(End(mine[-1].gops, f"{name} {mine[-1].gops:,.0f}", precision_colour(name, theme)))
    span = (0.0, 1.08 * max(row.gops for row in rows))
    return _against_size(rows, traces, ends, span, "operations per second (10⁹)", theme)


def gemm_ratio(rows: Sequence[GemmRow], theoretical: Mapping[str, float], *, theme: Theme = "light") -> go.Figure:
    """Throughput over that of fp32 against size, beside the ratio that the instructions allow.

    Args:
        rows: the products.
        theoretical: by precision, e.g. int8: 4.
        theme: light or dark.
    """
    base = {row.size: row.gops for row in rows if row.precision == "fp32"}
    others = [name for name in dict.fromkeys(row.precision for row in rows) if name != "fp32"]
    if not base or not others:
        return blank("There is no fp32 to compare with, or nothing else.", theme)
    traces, ends, shapes, values = [], [], [], [1.0]
    for name in others:
        mine = sorted((row for row in rows if row.precision == name and row.size in base), key=lambda row: row.size)
        if not mine:
            continue
        ratios = [row.gops / base[row.size] for row in mine]
        hovers = [f"<b>{name}</b>, {r.size} × {r.size}<br>{x:.2f} × fp32" for r, x in zip(mine, ratios, strict=True)]
        traces.append(_curve(name, [row.size for row in mine], ratios, hovers, theme))
        colour = precision_colour(name, theme)
        ends.append(End(ratios[-1], f"{name} {ratios[-1]:.2f} ×", colour))
        values += ratios
        if name in theoretical:
            ideal = theoretical[name]
            values.append(ideal)
            ends.append(End(ideal, f"{name}, instructions {ideal:.3g} ×", colour))
            shapes.append(_level(ideal, line(colour, 1.5, "dot")))
    ends.append(End(1.0, "fp32", precision_colour("fp32", theme)))
    shapes.append(_level(1.0, line(precision_colour("fp32", theme), 2)))
    span = (0.0, 1.1 * max(values))
    figure = _against_size(rows, traces, ends, span, "throughput over fp32 (×)", theme)
    figure.update_layout(shapes=shapes)
    return figure


def _curve(name: str, x: list[int], y: list[float], hovers: list[str], theme: Theme) -> dict[str, Any]:
    colour = precision_colour(name, theme)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": x,
        "y": y,
        "line": line(colour, 2),
        "marker": {"size": 9, "color": colour, "symbol": _SYMBOLS.get(name, "circle")},
        "hovertext": hovers,
        "hoverinfo": "text",
        "showlegend": False,
    }


def _against_size(
    rows: Sequence[GemmRow],
    traces: list[dict[str, Any]],
    ends: Sequence[End],
    span: tuple[float, float],
    title: str,
    theme: Theme,
) -> go.Figure:
    height = 340
    sizes = sorted({row.size for row in rows})
    first, last = math.log10(sizes[0]) - 0.06, math.log10(sizes[-1]) + 0.06
    return go.Figure(
        {
            "data": traces,
            "layout": layout(
                theme,
                height=height,
                margin={"t": _TOP, "b": _BOTTOM, "r": series.room(ends)},
                annotations=series.ends(ends, span, height - _TOP - _BOTTOM),
                xaxis=axis(
                    theme,
                    "rows and columns of the matrices",
                    type="log",
                    range=[first, last],
                    tickvals=sizes,
                    ticktext=[str(size) for size in sizes],
                    showgrid=False,
                ),
                yaxis=axis(theme, title, range=list(span)),
            ),
        }
    )


def _level(y: float, look: dict[str, Any]) -> dict[str, Any]:
    return {"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": y, "y1": y, "line": look}


def _log(theme: Theme, title: str, ends: tuple[float, float]) -> dict[str, Any]:
    """A logarithmic axis with its ticks written out, at 1, 2 and 5 where few decades are shown."""
    low, high = ends
    steps = (1, 2, 5) if high - low < 2.5 else (1,)
    ticks = [m * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for m in steps]
    ticks = [tick for tick in ticks if low <= math.log10(tick) <= high]
    words = [f"{tick:,.0f}" if tick >= 1 else f"{tick:g}" for tick in ticks]
    return axis(theme, title, type="log", range=[low, high], tickvals=ticks, ticktext=words)


def _decades(values: Sequence[float]) -> tuple[float, float]:
    return min(values) / 1.6, max(values) * 1.6


def _hover(row: LayerRow, name: str) -> str:
    lines = [
        f"<b>{row.site}</b>, {row.kind}, in {row.ran.get(name) or name}",
        f"{row.gops[name]:,.0f} Gop/s, {row.intensity[name]:.3g} operations per byte",
    ]
    if name in row.roof:
        limit = "arithmetic" if row.bound[name] == "compute" else "memory"
        lines.append(f"{100 * row.roof[name]:.0f} % of what this machine reaches; {limit} is the limit")
    lines.append(f"{row.ms[name]:.4f} ms: {row.kernel.get(name, '')}")
    return "<br>".join(lines)
