"""Figures of the PTQ page."""

from qanalysis.figures.ptq import ptq

__all__ = ["ptq"]
