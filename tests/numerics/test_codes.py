import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.kernels import quantize
from qanalysis.numerics.codes import codes, matrix_codes, reals, represented, rounded
from qanalysis.numerics.spec import QuantizerSpec, Range
from tests import reference

BITS = st.integers(2, 8)
SCHEMES = st.sampled_from(("scale", "affine"))
ENDS = st.tuples(st.floats(-50, 0, width=32), st.floats(0.0625, 50, width=32))
VALUES = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=20)


@given(VALUES, ENDS, BITS, SCHEMES)
def test_codes_and_their_values_are_those_of_the_equations(values, ends, bits, scheme):
    spec, range_ = QuantizerSpec(bits, scheme), Range(*ends)
    expected = reference.quantize(values, *ends, bits, scheme)
    found = codes(values, range_, spec)
    # A value on the edge between two codes may fall to either side: dividing by the step is not multiplying by s.
    tie = np.abs(np.abs(np.asarray(values) * reference.scale(*ends, bits, scheme)) % 1 - 0.5) < 1e-9
    assert (found[~tie] == expected[~tie]).all()
    assert (np.abs(found - expected) <= tie).all()
    np.testing.assert_allclose(reals(expected, range_, spec), reference.dequantize(expected, *ends, bits, scheme))


@given(VALUES, ENDS, BITS, SCHEMES)
def test_no_value_inside_moves_by_more_than_half_a_step(values, ends, bits, scheme):
    spec, range_ = QuantizerSpec(bits, scheme), Range(*ends)
    inside = represented(range_, spec)
    kept = np.clip(values, inside.beta, inside.alpha)
    half = 0.5 / reference.scale(*ends, bits, scheme)
    assert np.abs(rounded(kept, range_, spec) - kept).max() <= half * (1 + 1e-9)


@given(ENDS, BITS, SCHEMES)
def test_zero_is_exact(ends, bits, scheme):
    assert rounded(0.0, Range(*ends), QuantizerSpec(bits, scheme)) == 0


@pytest.mark.parametrize("channel_axis", [None, 1])
@pytest.mark.parametrize("bits", [8, 3])
def test_matrices_are_quantized_like_the_weights_of_a_layer(channel_axis, bits):
    weight = np.random.default_rng(0).normal(size=(5, 4)) * [1, 0.1, 0.001, 3]
    spec = QuantizerSpec(bits, channel_axis=channel_axis)
    found, steps = matrix_codes(weight, spec)
    tensor = torch.from_numpy(weight)
    params = quantize.max_weight_params(tensor, spec)
    np.testing.assert_array_equal(found, quantize.quantize(tensor, params).numpy())
    np.testing.assert_allclose(steps, np.broadcast_to(params.step.numpy().ravel(), 4))


def test_a_column_of_zeros_stays_zero():
    found, steps = matrix_codes(np.array([[0.0, 1.0], [0.0, -2.0]]), QuantizerSpec(8, channel_axis=1))
    assert (found[:, 0] == 0).all()
    assert steps[0] == 1
