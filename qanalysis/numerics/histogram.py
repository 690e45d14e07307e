"""Histogram of a tensor's values: exact counts on power-of-two bins, mergeable and independent of batching.

Bin `i` covers `[i * width, (i + 1) * width)` with `width = 2**exponent` and `-BINS <= i < BINS`. When a value does not
fit, the exponent grows and neighbours are added in pairs. Scaling by a power of two and taking the floor are exact in
floating point, so the counts are what a single pass over all values at the final width would have given.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Bins on each side of zero. The largest magnitude always falls in the upper half, so a bin is at most 1/2048 of it.
BINS = 4096

#: Narrowest bin: 2**100, its inverse, is still a float32.
MIN_EXPONENT = -100

Counts = NDArray[np.int64]


def exponent_for(magnitude: float) -> int:
    """Smallest k for which `magnitude` lies in a bin of width 2**k.

    >>> exponent_for(4095.0), exponent_for(4096.0)
    (0, 1)
    """
    _, exponent = math.frexp(magnitude)  # 0.5 * 2**exponent <= magnitude < 2**exponent
    return max(exponent - int(math.log2(BINS)), MIN_EXPONENT) if magnitude else MIN_EXPONENT


def coarsen(counts: Counts, doublings: int) -> Counts:
    """Adds neighbouring bins in pairs, `doublings` times: counts `(2 BINS,)` at width w to width `w * 2**doublings`."""
    if doublings <= 0:
        return counts
    group = 2 ** min(doublings, BINS.bit_length() - 1)  # beyond that, one bin is left on each side of zero
    merged = counts.reshape(-1, group).sum(1)
    result = np.zeros_like(counts)
    result[BINS - len(merged) // 2 : BINS + len(merged) // 2] = merged
    return result


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of one tensor's values over all data seen.

    Attributes:
        counts: `(2 * BINS,)` int64; bin `i` is at position `i + BINS`.
        exponent: the bin width is `2**exponent`.
        minimum: exact smallest value, in the tensor's unit.
        maximum: exact largest value.
    """

    counts: Counts
    exponent: int
    minimum: float
    maximum: float

    @classmethod
    def of(cls, values: NDArray[Any]) -> "Histogram":
        """Histogram of an array of any shape.

        Raises:
            ValueError: if the array is empty, or holds NaN or infinity.
        """
        flat = np.asarray(values, np.float64).ravel()
        if flat.size == 0:
            raise ValueError("a histogram needs at least one value, but got an empty array")
        if not np.isfinite(flat).all():
            raise ValueError("a histogram needs finite values, but got NaN or infinity")
        minimum, maximum = float(flat.min()), float(flat.max())
        exponent = exponent_for(max(-minimum, maximum))
        index = np.clip(np.floor(np.ldexp(flat, -exponent)).astype(np.int64), -BINS, BINS - 1)
        np.minimum(index, -1, out=index, where=flat < 0)  # a negative value may underflow to zero
        return cls(np.bincount(index + BINS, minlength=2 * BINS), exponent, minimum, maximum)

    def merge(self, other: "Histogram") -> "Histogram":
        """Histogram of the values of both; associative and commutative."""
        exponent = max(self.exponent, other.exponent)
        counts = coarsen(self.counts, exponent - self.exponent) + coarsen(other.counts, exponent - other.exponent)
        return Histogram(counts, exponent, min(self.minimum, other.minimum), max(self.maximum, other.maximum))

    @property
    def width(self) -> float:
        """Width of a bin, in the tensor's unit."""
        return math.ldexp(1.0, self.exponent)

    @cached_property
    def total(self) -> int:
        """Number of values counted."""
        return int(self.counts.sum())

    @property
    def amax(self) -> float:
        """Exact largest magnitude."""
        return max(-self.minimum, self.maximum)

    @cached_property
    def magnitudes(self) -> Counts:
        """Counts of |x|, `(n,)` up to and including the bin of the largest magnitude.

        A negative value on a bin edge counts to the bin below that edge: magnitudes are right within one bin width.
        """
        folded = self.counts[BINS:] + self.counts[BINS - 1 :: -1]
        return folded[: int(np.flatnonzero(folded)[-1]) + 1]

    @cached_property
    def centers(self) -> NDArray[np.float64]:
        """Middle of every bin, `(2 * BINS,)`, in the tensor's unit."""
        return np.asarray((np.arange(-BINS, BINS) + 0.5) * self.width, np.float64)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Histogram)
            and (self.exponent, self.minimum, self.maximum) == (other.exponent, other.minimum, other.maximum)
            and np.array_equal(self.counts, other.counts)
        )

    __hash__ = None  # type: ignore[assignment]
