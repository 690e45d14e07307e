"""Figures of the Sensitivity page."""

from qanalysis.figures.sensitivity import fig3, partial

__all__ = ["fig3", "partial"]
