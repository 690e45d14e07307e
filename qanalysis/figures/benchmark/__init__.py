"""Figures of the Benchmark page."""

from qanalysis.figures.benchmark import latency, parity, roofline, tradeoff

__all__ = ["latency", "parity", "roofline", "tradeoff"]
