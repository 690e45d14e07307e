"""Figures: functions from results to Plotly figures. They measure nothing, show nothing, and share one theme.

A folder for each page, named like the page's own in `ui`. Every function is defined for empty and one-row results, and
its module's `HOW_TO_READ` says, under the function's name, how a newcomer reads it.
"""

from qanalysis.figures import benchmark, calibration, compare, look, model, ptq, qat, sensitivity

__all__ = ["benchmark", "calibration", "compare", "look", "model", "ptq", "qat", "sensitivity"]
