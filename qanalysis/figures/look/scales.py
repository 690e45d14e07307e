"""Axes of accuracies: what they are called, and where they end."""

from collections.abc import Sequence

import numpy as np

#: Rows that lose more than this many times the median loss run off the axis.
DEEPEST = 8


def window(fp32: float, values: Sequence[float], intervals: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Ends of the axis of accuracies, in %: small differences stay visible beside a catastrophe.

    The axis reaches down to the lowest row that loses at most 8 times the median loss (or 8 % of fp32, if that is
    more), its interval included, and at least to the line of 1 % relative loss; what is below is cut.
    """
    losses = [fp32 - value for value in values]
    deepest = DEEPEST * max(float(np.median(losses)) if losses else 0.0, 0.01 * fp32)
    shown = [interval for loss, interval in zip(losses, intervals, strict=True) if loss <= deepest]
    low = min([0.99 * fp32, *(low for low, _ in shown)])
    high = max([fp32, *(high for _, high in intervals)])
    air = 0.06 * max(high - low, 1e-3)
    return low - air, high + air
