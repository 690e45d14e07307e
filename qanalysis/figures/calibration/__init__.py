"""Figures of the Calibration page."""

from qanalysis.figures.calibration import costs, divergence, growth, histogram, overview, weights

__all__ = ["costs", "divergence", "growth", "histogram", "overview", "weights"]
