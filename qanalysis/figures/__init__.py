"""Figures: functions from results to Plotly figures. They compute nothing, show nothing, and share one theme.

Every function is defined for empty and one-row results, and its module's `HOW_TO_READ` says, under the function's
name, how a newcomer reads it.
"""

from qanalysis.figures import (
    benchmark,
    compare,
    costs,
    divergence,
    export,
    growth,
    histogram,
    model,
    overview,
    parity,
    partial,
    ptq,
    qat,
    sensitivity,
    speed,
    theme,
    weights,
)

__all__ = [
    "benchmark",
    "compare",
    "costs",
    "divergence",
    "export",
    "growth",
    "histogram",
    "model",
    "overview",
    "parity",
    "partial",
    "ptq",
    "qat",
    "sensitivity",
    "speed",
    "theme",
    "weights",
]
