"""Figures of the Calibration page."""
