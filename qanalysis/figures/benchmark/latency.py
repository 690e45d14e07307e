"""Benchmark: latency of engines and precisions side by side, and where the time goes layer by layer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from qanalysis.figures.benchmark.layers import layers as layers
from qanalysis.figures.benchmark.roofline import gemm as gemm
from qanalysis.figures.benchmark.roofline import gemm_ratio as gemm_ratio
from qanalysis.figures.benchmark.roofline import roofline as roofline
from qanalysis.figures.look.labels import text_width
from qanalysis.figures.look.theme import PALETTES, Theme, annotation, axis, blank, faded, layout, precision_colour
from qanalysis.schema.flavours import engine_label
from qanalysis.schema.results.benchmark import BenchmarkRow

HOW_TO_READ = {
    "latency": (
        "One bar for each engine and precision: the median time of one inference, shorter is better; the whisker spans "
        "the shortest time to the one that 95 % keep below. Beside it is how many times faster that is than fp32 "
        "in the same engine, measured by turns."
    ),
    "layers": (
        "Two bars or more for each layer: its time in each precision; the pale end is spent on converting its inputs. "
        "On the right is how many times faster int8 is, conversions included; red says that int8 does not pay there."
    ),
    "roofline": (
        "Every dot is a layer: to the right it does more arithmetic for each byte it moves, upwards it runs faster. "
        "The lines are what this machine reached at best: on the slope memory is the limit (a dot above it found its "
        "data in the cache), on the flat part arithmetic. Far below the line time is lost to something else."
    ),
    "gemm": (
        "Products of two square matrices, measured in the same engine: upwards is more operations per second. Small "
        "matrices do not fill the machine, so that a precision shows its strength only to the right."
    ),
    "gemm_ratio": (
        "How many times more operations per second than in fp32, against the size of the matrices; the dotted lines "
        "are what the processor's instructions allow (Table 1 of the paper for GPUs)."
    ),
}

#: Height of a bar's row, and of what is above and below the plot, in px.
_ROW, _TOP, _BOTTOM = 30, 12, 52
#: A row this many times slower than the median of all is cut off.
_SLOWEST = 4.0


def name_of(row: BenchmarkRow) -> str:
    """What a reader calls a row: engine, precision, and the plan where it is a saved one."""
    saved = f" · {row.plan}" if row.plan not in ("", "plan") else ""
    return f"{engine_label(row.engine)} · {row.precision}{saved}"


def latency(rows: Sequence[BenchmarkRow], *, theme: Theme = "light") -> go.Figure:
    """Median latencies as bars, with the speed-up over fp32 beside them.

    Args:
        rows: of one batch size.
        theme: light or dark.
    """
    if not rows:
        return blank("Nothing has been measured yet.", theme)
    palette = PALETTES[theme]
    medians = [row.latency_ms.median for row in rows]
    end = min(1.05 * max(row.latency_ms.p95 for row in rows), _SLOWEST * float(np.median(medians)))
    end = max(end, 1.05 * min(row.latency_ms.p95 for row in rows))
    shown = [min(median, end) for median in medians]
    words = [_told(row, end) for row in rows]
    names = [name_of(row) for row in rows]
    notes = [
        annotation(text, palette.text, x=1, xref="paper", xanchor="left", xshift=8, y=i) for i, text in enumerate(words)
    ]
    bars: dict[str, Any] = {
        "type": "bar",
        "orientation": "h",
        "x": shown,
        "y": list(range(len(rows))),
        "width": 0.62,
        "marker": {
            "color": [faded(precision_colour(row.precision, theme), 0.65) for row in rows],
            "line": {"width": 1.2, "color": [precision_colour(row.precision, theme) for row in rows]},
        },
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [max(min(row.latency_ms.p95, end) - x, 0) for row, x in zip(rows, shown, strict=True)],
            "arrayminus": [max(x - row.latency_ms.min, 0) for row, x in zip(rows, shown, strict=True)],
            "color": palette.text,
            "thickness": 1.2,
            "width": 4,
        },
        "hovertext": [_hover(row) for row in rows],
        "hoverinfo": "text",
        "showlegend": False,
    }
    return go.Figure(
        {
            "data": [bars],
            "layout": layout(
                theme,
                height=max(_TOP + _BOTTOM + _ROW * len(rows), 150),
                margin={
                    "t": _TOP,
                    "b": _BOTTOM,
                    "l": 20 + round(max(text_width(name, 13) for name in names)),
                    "r": 24 + round(max(text_width(text) for text in words)),
                },
                annotations=notes,
                xaxis=axis(theme, "time of one inference (ms)", range=[0, end]),
                yaxis=axis(
                    theme,
                    tickvals=list(range(len(rows))),
                    ticktext=names,
                    range=[len(rows) - 0.5, -0.5],
                    fixedrange=True,
                    showgrid=False,
                    tickfont={"color": palette.text, "size": 13},
                ),
            ),
        }
    )


def _told(row: BenchmarkRow, end: float) -> str:
    ms = f"{row.latency_ms.median:.3g} ms"
    cut = "▶ " if row.latency_ms.median > end else ""
    return f"{cut}{ms}" if row.speedup is None else f"{cut}{ms}, {row.speedup:.2f} ×"


def _hover(row: BenchmarkRow) -> str:
    times = row.latency_ms
    lines = [
        f"<b>{name_of(row)}</b>, batch {row.batch}",
        f"median {times.median:.4g} ms, shortest {times.min:.4g}, 95 % below {times.p95:.4g} ({times.runs:,} runs)",
        f"{row.throughput:,.0f} samples per second",
    ]
    if row.speedup is not None and row.speedup_interval is not None:
        low, high = row.speedup_interval
        lines.append(f"{row.speedup:.2f} times as fast as fp32 (95 % interval {low:.2f} to {high:.2f})")
    if row.plan:
        lines.append(f"{row.int8_sites} of {row.sites} layers really run in int8; the plan has {row.planned_sites}")
    return "<br>".join(lines)
