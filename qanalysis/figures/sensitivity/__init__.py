"""Figures of the Sensitivity page."""
