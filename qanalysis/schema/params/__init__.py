"""Parameters of the analyses."""
