"""Measuring: what several analyses share: fp32, ranges, scores, comparisons, checkpoints, progress."""
