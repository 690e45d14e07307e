"""Figures of the QAT page."""

from qanalysis.figures.qat import accuracy

__all__ = ["accuracy"]
