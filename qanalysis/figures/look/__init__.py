"""How figures look: theme, labels, scales, series and their export as images."""
