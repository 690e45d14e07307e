"""Quantizer settings and ranges, against Eq. 1, 2 and 6."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.numerics.spec import SMALLEST_STEP, QuantizerSpec, Range, step_and_zero_point
from tests import reference

finite = st.floats(-1e30, 1e30, allow_nan=False, allow_subnormal=False)
nonzero = finite.filter(lambda x: abs(x) > 1e-30)
bits_and_scheme = st.tuples(st.integers(2, 8), st.sampled_from(["scale", "affine"]))


@pytest.mark.parametrize("bits", [1, 9, 0, -8])
def test_bits_out_of_domain_are_refused_with_the_value(bits):
    with pytest.raises(ValueError, match=rf"^`2 <= bits <= 8` must hold, but got bits={bits}$"):
        QuantizerSpec(bits)


def test_unknown_scheme_is_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"^Unknown scheme 'symmetric'; choose from affine, scale\.$"):
        QuantizerSpec(8, "symmetric")


@pytest.mark.parametrize(
    ("bits", "scheme", "low", "high"),
    [(8, "scale", -127, 127), (8, "affine", -128, 127), (4, "scale", -7, 7), (2, "affine", -2, 1), (2, "scale", -1, 1)],
)
def test_codes(bits, scheme, low, high):
    spec = QuantizerSpec(bits, scheme)
    assert (spec.code_min, spec.code_max) == (low, high)


@pytest.mark.parametrize(
    ("beta", "alpha"), [(1.0, 0.0), (float("nan"), 1.0), (0.0, float("nan")), (0.0, float("inf")), (float("-inf"), 0.0)]
)
def test_impossible_range_is_refused_with_both_ends(beta, alpha):
    with pytest.raises(
        ValueError, match=rf"^`-inf < beta <= alpha < inf` must hold, but got beta={beta}, alpha={alpha}$"
    ):
        Range(beta, alpha)


@pytest.mark.parametrize(
    ("range_", "amax"), [(Range(-3, 2), 3), (Range(-1, 2), 2), (Range(1, 2), 2), (Range(-2, -1), 2)]
)
def test_amax_is_the_larger_magnitude(range_, amax):
    assert range_.amax == amax


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        QuantizerSpec().bits = 4


@given(nonzero, nonzero, bits_and_scheme)
def test_step_and_zero_point_are_those_of_the_paper(a, b, setting):
    bits, scheme = setting
    beta, alpha = sorted((a, b))
    step, zero_point = step_and_zero_point(Range(beta, alpha), QuantizerSpec(bits, scheme))
    assert step == pytest.approx(1 / reference.scale(beta, alpha, bits, scheme), rel=1e-12)
    assert zero_point == reference.zero_point(beta, alpha, bits, scheme)


@given(nonzero, nonzero, st.integers(2, 8))
def test_affine_zero_is_a_code(a, b, bits):
    spec = QuantizerSpec(bits, "affine")
    step, zero_point = step_and_zero_point(Range(*sorted((a, b))), spec)
    assert isinstance(zero_point, int)
    assert spec.code_min <= zero_point <= spec.code_max
    assert (min(spec.code_max, max(spec.code_min, round(0 / step) + zero_point)) - zero_point) * step == 0


def test_affine_range_of_one_sign_is_widened_to_zero():
    assert step_and_zero_point(Range(1, 2), QuantizerSpec(8, "affine")) == (2 / 255, -128)
    assert step_and_zero_point(Range(-2, -1), QuantizerSpec(8, "affine")) == (2 / 255, 127)


@pytest.mark.parametrize("scheme", ["scale", "affine"])
def test_range_without_width_is_refused(scheme):
    with pytest.raises(ValueError, match="an all-zero tensor has no scale"):
        step_and_zero_point(Range(0, 0), QuantizerSpec(8, scheme))


@pytest.mark.parametrize("scheme", ["scale", "affine"])
def test_the_inverse_of_the_narrowest_step_is_a_float32(scheme):
    step, _ = step_and_zero_point(Range(-1e-45, 1e-45), QuantizerSpec(8, scheme))
    assert step == SMALLEST_STEP
    assert 1 / step < 3.4028234e38
