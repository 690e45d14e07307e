"""The QAT page."""
