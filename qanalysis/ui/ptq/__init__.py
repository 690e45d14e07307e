"""The PTQ page."""
