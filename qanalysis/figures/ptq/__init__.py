"""Figures of the PTQ page."""
