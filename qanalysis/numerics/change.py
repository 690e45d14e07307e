"""Change of an accuracy against floating point, as the paper's tables give it."""


def relative(accuracy: float, fp32: float) -> float:
    """100 (accuracy - fp32) / fp32, in % (Table 4); 0 where nothing was right in floating point either."""
    return 100 * (accuracy - fp32) / fp32 if fp32 else 0.0
