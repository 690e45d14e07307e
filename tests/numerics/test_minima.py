from itertools import pairwise

import numpy as np
import pytest
import scipy.optimize

from qanalysis.numerics.minima import TwoMinima, descent, quantized

LOSS = TwoMinima()


@pytest.mark.parametrize("narrow", [0.1, 0.2, 0.6])
def test_slope_is_the_derivative(narrow):
    loss = TwoMinima(narrow=narrow)
    x = np.linspace(-2, 2.5, 91)
    numeric = (loss(x + 1e-6) - loss(x - 1e-6)) / 2e-6
    np.testing.assert_allclose(loss.slope(x), numeric, atol=1e-6)


def test_there_are_two_minima_and_rounding_costs_only_in_the_narrow_one():
    narrow = scipy.optimize.minimize_scalar(LOSS, bounds=(-1, 0), method="bounded").x
    wide = scipy.optimize.minimize_scalar(LOSS, bounds=(0.3, 2), method="bounded").x
    assert LOSS(quantized(narrow)) - LOSS(narrow) > 0.5
    assert abs(LOSS(quantized(wide)) - LOSS(wide)) < 0.01


def test_as_in_fig_6_ptq_ends_in_the_narrow_minimum_and_qat_in_the_wide_one():
    plain, aware = (descent(LOSS, -0.95, 0.05, 120, aware=aware) for aware in (False, True))
    assert plain[-1] == pytest.approx(-0.53, abs=0.01)
    assert quantized(plain[-1]) == -1
    assert quantized(aware[-1]) == 1
    assert LOSS(quantized(aware[-1])) < LOSS(quantized(plain[-1])) / 4


@pytest.mark.parametrize("aware", [False, True])
def test_a_step_follows_the_slope(aware):
    weights = descent(LOSS, 0.3, 0.05, 7, aware=aware)
    assert len(weights) == 8
    for before, after in pairwise(weights):
        at = round(before) if aware else before
        assert after == pytest.approx(before - 0.05 * float(LOSS.slope(at)))
