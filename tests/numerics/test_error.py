"""Quantization error from a histogram, against brute force on the values themselves."""

import itertools
import math

import numpy as np
import pytest

from qanalysis.numerics.calibrate import Max, clipped_at
from qanalysis.numerics.error import quantization_error
from qanalysis.numerics.histogram import Histogram
from qanalysis.numerics.spec import QuantizerSpec, Range
from tests import reference

RANDOM = np.random.default_rng(0)
VALUES = {
    "normal": RANDOM.normal(size=40_000),
    "relu": np.maximum(RANDOM.normal(size=40_000), 0),
    "laplace": RANDOM.laplace(size=40_000),
    "lognormal": RANDOM.lognormal(size=40_000),
    "negative": -RANDOM.exponential(size=40_000),
}
SPECS = [QuantizerSpec(8), QuantizerSpec(4), QuantizerSpec(8, "affine"), QuantizerSpec(3, "affine")]
by_values = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())
by_spec = pytest.mark.parametrize("spec", SPECS, ids=[f"{spec.scheme}{spec.bits}" for spec in SPECS])


@by_values
@by_spec
@pytest.mark.parametrize("share", [1, 0.7, 0.5, 0.25])
def test_error_equals_brute_force(values, spec, share):
    histogram = Histogram.of(values)
    range_ = clipped_at(share * histogram.amax, histogram, spec)
    error = quantization_error(histogram, range_, spec)
    outside = (values < range_.beta) | (values > range_.alpha)
    squared = (values - reference.fake_quantize(values, range_.beta, range_.alpha, spec.bits, spec.scheme)) ** 2
    one_bin = 100 * np.mean(np.abs(np.abs(values) - share * histogram.amax) < histogram.width)
    assert error.mse == pytest.approx(squared.mean(), rel=0.02)
    assert error.clipped == pytest.approx(100 * outside.mean(), abs=one_bin + 1e-9)
    assert error.clipping_mse == pytest.approx(
        squared[outside].sum() / values.size, rel=0.02, abs=1e-4 * squared.mean()
    )
    assert error.rounding_mse == pytest.approx(squared[~outside].sum() / values.size, rel=0.02)
    assert error.sqnr == pytest.approx(10 * np.log10(np.mean(values**2) / squared.mean()), abs=0.1)


@by_values
@by_spec
def test_max_clips_nothing(values, spec):
    histogram = Histogram.of(values)
    error = quantization_error(histogram, Max()(histogram, spec), spec)
    assert error.clipped == error.clipping_mse == 0


@by_values
def test_rounding_error_at_8_bits_is_step_squared_over_12(values):
    histogram = Histogram.of(values)
    error = quantization_error(histogram, Max()(histogram, QuantizerSpec()), QuantizerSpec())
    occupied = np.mean(values != 0)
    assert error.rounding_mse == pytest.approx(occupied * error.step**2 / 12, rel=0.12)


@by_values
@by_spec
def test_clipping_falls_and_the_step_grows_with_the_cutoff(values, spec):
    histogram = Histogram.of(values)
    cutoffs = np.linspace(0.05, 1, 40) * histogram.amax
    errors = [quantization_error(histogram, clipped_at(cutoff, histogram, spec), spec) for cutoff in cutoffs]
    for before, after in itertools.pairwise(errors):
        assert after.clipped <= before.clipped
        if spec.scheme == "scale":  # an affine grid shifts with its rounded zero point
            assert after.clipping_mse <= before.clipping_mse * (1 + 1e-12)
        assert after.step >= before.step


@pytest.mark.parametrize("bins_per_step", [1, 2, 3, 5])
def test_rounding_is_measured_within_bins_where_the_step_is_as_narrow_as_a_bin(bins_per_step):
    values = np.append(RANDOM.uniform(-100, 100, 100_000), 4095.0)
    cutoff = 127.0 * bins_per_step  # the bin width is 1
    error = quantization_error(Histogram.of(values), Range(-cutoff, cutoff), QuantizerSpec())
    assert error.rounding_mse == pytest.approx(bins_per_step**2 / 12, rel=0.02)


def test_each_bit_gains_six_decibels():
    histogram = Histogram.of(VALUES["normal"])
    sqnr = [
        quantization_error(histogram, Max()(histogram, QuantizerSpec(b)), QuantizerSpec(b)).sqnr for b in (5, 6, 7, 8)
    ]
    assert np.diff(sqnr) == pytest.approx([6.02] * 3, abs=0.4)


def test_values_that_are_all_representable_have_no_error():
    histogram = Histogram.of(np.array([0.0, 0.0, 4.0]))
    error = quantization_error(histogram, Range(-4, 4), QuantizerSpec())
    assert (error.mse, error.sqnr, error.clipped) == (0, math.inf, 0)


def test_zeros_of_relu_have_no_error():
    sparse = Histogram.of(np.append(np.zeros(10_000), 1.0))
    assert quantization_error(sparse, Range(-1, 1), QuantizerSpec()).mse == pytest.approx(0, abs=1e-15)


def test_step_is_the_distance_of_two_codes():
    histogram = Histogram.of(VALUES["normal"])
    assert quantization_error(histogram, Range(-2, 2), QuantizerSpec()).step == pytest.approx(2 / 127)
    assert quantization_error(histogram, Range(-1, 2), QuantizerSpec(8, "affine")).step == pytest.approx(3 / 255)


def test_denormal_values_do_not_divide_by_zero():
    histogram = Histogram.of(np.array([5e-324, 0.0]))
    error = quantization_error(histogram, Max()(histogram, QuantizerSpec()), QuantizerSpec())
    assert error.clipped == 0
    assert math.isfinite(error.mse)
