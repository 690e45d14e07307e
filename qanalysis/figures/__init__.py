"""Figures: functions from results to Plotly figures. They compute nothing, show nothing, and share one theme.

Every function is defined for empty and one-row results, and its module's `HOW_TO_READ` says, under the function's
name, how a newcomer reads it.
"""

from qanalysis.figures import (
    costs,
    divergence,
    export,
    histogram,
    model,
    overview,
    partial,
    ptq,
    qat,
    sensitivity,
    theme,
    weights,
)

__all__ = [
    "costs",
    "divergence",
    "export",
    "histogram",
    "model",
    "overview",
    "partial",
    "ptq",
    "qat",
    "sensitivity",
    "theme",
    "weights",
]
