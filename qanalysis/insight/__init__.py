"""Conclusions from results: headlines, comparisons, advice and the workflow's steps; no PyTorch, no drawing."""
