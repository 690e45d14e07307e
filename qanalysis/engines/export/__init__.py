"""Export: one trace of a network, and the files that are made of it."""
