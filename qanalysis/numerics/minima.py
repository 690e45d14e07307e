"""A loss of one weight with a narrow and a wide minimum, and descents on it (Appendix B, Fig. 6)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class TwoMinima:
    """A narrow and a wide well in a shallow bowl, in the spirit of Fig. 6, which gives no formula.

    Attributes:
        narrow: standard deviation of the narrow well, whose middle lies between two integers.
        wide: standard deviation of the wide well, whose middle is an integer.
    """

    narrow: float = 0.2
    wide: float = 0.7

    #: Middle of the narrow well ("w ≈ -0.5", nearest integer -1) and of the wide one.
    NARROW_AT, WIDE_AT = -0.55, 1.0
    #: Depths of the wells and curvature of the bowl.
    _DEEP, _SHALLOW, _BOWL = 1.0, 0.85, 0.05

    def __call__(self, w: ArrayLike) -> Reals:
        """Loss at the weights."""
        x = np.asarray(w, np.float64)
        wells = self._DEEP * self._well(x, self.NARROW_AT, self.narrow)
        wells += self._SHALLOW * self._well(x, self.WIDE_AT, self.wide)
        return np.asarray(1.1 - wells + self._BOWL * (x - self.WIDE_AT) ** 2, np.float64)

    def slope(self, w: ArrayLike) -> Reals:
        """Derivative of the loss."""
        x = np.asarray(w, np.float64)
        narrow = self._DEEP * (x - self.NARROW_AT) / self.narrow**2 * self._well(x, self.NARROW_AT, self.narrow)
        wide = self._SHALLOW * (x - self.WIDE_AT) / self.wide**2 * self._well(x, self.WIDE_AT, self.wide)
        return np.asarray(narrow + wide + 2 * self._BOWL * (x - self.WIDE_AT), np.float64)

    @staticmethod
    def _well(x: Reals, middle: float, width: float) -> Reals:
        return np.asarray(np.exp(-((x - middle) ** 2) / (2 * width**2)), np.float64)


def quantized(w: ArrayLike) -> Reals:
    """The weight under scale quantization with scale factor 1, as in Fig. 6: the nearest integer, half to even."""
    return np.asarray(np.rint(np.asarray(w, np.float64)) + 0.0, np.float64)  # without a negative zero


def descent(loss: TwoMinima, start: float, rate: float, steps: int, *, aware: bool) -> Reals:
    """Weights `(steps + 1,)` of a gradient descent from `start`.

    Args:
        loss: to descend on.
        start: first weight.
        rate: learning rate.
        steps: number of updates.
        aware: take the gradient at the quantized weight (QAT, with the straight-through estimator) instead of at the
            weight itself (training before PTQ).
    """
    weights = [start]
    for _ in range(steps):
        at = quantized(weights[-1]) if aware else weights[-1]
        weights.append(weights[-1] - rate * float(loss.slope(at)))
    return np.asarray(weights, np.float64)
