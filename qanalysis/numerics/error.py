"""What a range costs: clipping error and rounding error of quantizing a tensor, from its histogram."""

import math
from dataclasses import dataclass

import numpy as np

from qanalysis.numerics.histogram import BINS, Histogram
from qanalysis.numerics.spec import QuantizerSpec, Range, step_and_zero_point


@dataclass(frozen=True)
class QuantizationError:
    """Expected error of fake quantization (Eq. 12) over a histogram.

    Attributes:
        clipped: share of values outside the range, in %.
        clipping_mse: mean squared error contributed by clipped values, in the tensor's unit squared.
        rounding_mse: mean squared error contributed by the others.
        sqnr: signal to quantization noise ratio in dB; infinite without noise.
        step: distance between two codes, in the tensor's unit.
    """

    clipped: float
    clipping_mse: float
    rounding_mse: float
    sqnr: float
    step: float

    @property
    def mse(self) -> float:
        """Mean squared error, clipping and rounding together."""
        return self.clipping_mse + self.rounding_mse


def quantization_error(histogram: Histogram, range_: Range, spec: QuantizerSpec) -> QuantizationError:
    """Error of quantizing the histogram's values with `range_`, every value taken at the middle of its bin.

    In a tensor whose smallest value is zero (the output of ReLU) the bin at zero counts as exactly zero: nearly all of
    it is, and zero has no error.
    """
    step, zero_point = step_and_zero_point(range_, spec)
    occupied = np.flatnonzero(histogram.counts)
    counts = histogram.counts[occupied].astype(np.float64)
    values = histogram.centers[occupied]
    if histogram.minimum == 0:
        values = np.where(occupied == BINS, 0.0, values)
    values = np.clip(values, histogram.minimum, histogram.maximum)
    codes = np.clip(np.rint(values / step) + zero_point, spec.code_min, spec.code_max)
    squared = (values - (codes - zero_point) * step) ** 2
    beta, alpha = (spec.code_min - zero_point) * step, (spec.code_max - zero_point) * step
    outside = (values > alpha * (1 + 1e-9)) | (values < beta * (1 + 1e-9))
    total = counts.sum()
    clipping = float((counts * squared)[outside].sum() / total)
    rounding = float((counts * squared)[~outside].sum() / total)
    signal = float((counts * values**2).sum() / total)
    noise = clipping + rounding
    sqnr = 10 * math.log10(signal / noise) if noise > 0 and signal > 0 else math.inf
    return QuantizationError(float(100 * counts[outside].sum() / total), clipping, rounding, sqnr, step)
