"""Results of the analyses."""
