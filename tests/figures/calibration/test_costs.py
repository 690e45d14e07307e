import math

import pytest

from qanalysis.figures.calibration.costs import LONGEST, costs
from qanalysis.numerics.calibrate import clipped_at
from qanalysis.numerics.error import QuantizationError, quantization_error
from qanalysis.numerics.spec import QuantizerSpec
from tests.figures.factories import signed


def error(clipping, rounding, signal=100.0):
    noise = clipping + rounding
    return QuantizationError(1.0, clipping, rounding, 10 * math.log10(signal / noise) if noise else math.inf, 0.1)


def words(figure):
    return [annotation.text for annotation in figure.layout.annotations]


def test_parts_are_percent_of_the_signals_power():
    rounding, clipping = costs({"max": error(2.0, 1.0, signal=50.0)}).data
    assert rounding.x[0] == pytest.approx(2)
    assert clipping.x[0] == pytest.approx(4)


def test_bar_of_a_real_histogram_is_its_noise():
    histogram, spec = signed(), QuantizerSpec()
    measured = quantization_error(histogram, clipped_at(3.0, histogram, spec), spec)
    rounding, clipping = costs({"custom": measured}).data
    assert rounding.x[0] + clipping.x[0] == pytest.approx(100 / 10 ** (measured.sqnr / 10))
    assert clipping.x[0] / rounding.x[0] == pytest.approx(measured.clipping_mse / measured.rounding_mse)


def test_decibels_stand_beside_the_bars_and_the_best_is_bold():
    figure = costs({"max": error(0, 1.0), "mse": error(0, 0.5)})
    assert words(figure) == ["SQNR", "20.0 dB", "<b>23.0 dB</b>"]


def test_long_bar_is_cut_with_its_value():
    figure = costs({"mse": error(0, 1.0), "entropy": error(50.0, 0)})
    assert figure.layout.xaxis.range[1] < 1.1 * LONGEST
    assert "50 % ▸" in words(figure)


def test_cutoffs_keep_their_order_from_the_top():
    figure = costs({"mse": error(0, 1.0), "max": error(0, 2.0), "custom": error(1, 1)})
    assert [text.split()[0] for text in figure.layout.yaxis.ticktext] == ["MSE", "max", "custom"]
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]


def test_none_is_left_out():
    assert len(costs({"max": None, "mse": error(0, 1.0)}).data[0].x) == 1


def test_exact_quantization_has_no_bar():
    figure = costs({"max": error(0, 0)})
    assert figure.data[0].x[0] == figure.data[1].x[0] == 0
    assert "<b>no error</b>" in words(figure)


@pytest.mark.parametrize("errors", [{}, {"max": None}], ids=["empty", "all-zero"])
def test_nothing_to_compare_says_so(errors):
    assert not costs(errors).data
