"""What a range costs: clipping error and rounding error of quantizing a tensor, from its histogram."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanalysis.numerics.codes import rounded
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
    """Error of quantizing the histogram's values with `range_`, values taken as evenly spread over their bin.

    Clipped ones are taken at the middle of the bin. In a tensor whose smallest value is zero (the output of ReLU) the
    bin at zero counts as exactly zero: nearly all of it is, and zero has no error.
    """
    step, zero_point = step_and_zero_point(range_, spec)
    occupied = np.flatnonzero(histogram.counts)
    counts = histogram.counts[occupied].astype(np.float64)
    low = np.maximum((occupied - BINS) * histogram.width, histogram.minimum)
    high = np.minimum((occupied - BINS + 1) * histogram.width, histogram.maximum)
    if histogram.minimum == 0:
        high[occupied == BINS] = 0.0
    values = low + (high - low) / 2
    squared = (values - rounded(values, range_, spec)) ** 2
    if histogram.width > step / 16:  # else the error at the middle of a bin is near enough its mean
        first = np.searchsorted(low, (spec.code_min - zero_point - 0.5) * step, "right")
        last = np.searchsorted(high, (spec.code_max - zero_point + 0.5) * step)
        start, stop = low[first:last] / step, high[first:last] / step
        wide = stop - start > 1e-3
        mean = (_rounding_area(stop) - _rounding_area(start)) / np.where(wide, stop - start, 1)
        squared[first:last] = np.where(wide, step**2 * mean, squared[first:last])
    beta, alpha = (-range_.amax, range_.amax) if spec.scheme == "scale" else (range_.beta, range_.alpha)
    outside = (values > max(alpha, 0.0)) | (values < min(beta, 0.0))
    total = counts.sum()
    clipping = float((counts * squared)[outside].sum() / total)
    rounding = float((counts * squared)[~outside].sum() / total)
    signal = float((counts * values**2).sum() / total)
    noise = clipping + rounding
    sqnr = 10 * math.log10(signal / noise) if noise > 0 and signal > 0 else math.inf
    return QuantizationError(float(100 * counts[outside].sum() / total), clipping, rounding, sqnr, step)


def _rounding_area(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integral of the squared rounding error (u - round(u))^2 from 0 to t; between two integers it is 1/12."""
    whole = np.rint(t)
    rest = t - whole
    return np.asarray(whole / 12 + rest * rest * rest / 3, np.float64)
