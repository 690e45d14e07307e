"""Figures of the QAT page."""
