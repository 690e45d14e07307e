"""How figures look: theme, labels, scales, series, and their export as files."""

from qanalysis.figures.look import export, theme

__all__ = ["export", "theme"]
