"""Figures of the PTQ page."""

from qanalysis.figures.ptq import clipped, ptq

__all__ = ["clipped", "ptq"]
