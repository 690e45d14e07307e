"""Learned ranges: gradients by hand, and against finite differences of what they stand for."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.kernels.quantize import (
    fake_quantize,
    fake_quantize_within,
    learned_fake_quantize,
    max_weight_params,
    per_tensor,
)
from qanalysis.numerics.spec import QuantizerSpec, Range


def learned(x, alpha, upstream, bits=4):
    """Output, gradient to x and gradient to alpha."""
    x = x.clone().requires_grad_()
    a = torch.tensor(alpha, requires_grad=True)
    y = learned_fake_quantize(x, a, alpha, QuantizerSpec(bits).code_max)
    (y * upstream).sum().backward()
    return y.detach(), x.grad, a.grad


def test_gradients_by_hand():
    """Only 3 and 9 are clipped above 2, only -5 below -2; inside, at the ends, nothing goes to alpha."""
    x = torch.tensor([-5.0, -2.0, -0.3, 0.0, 1.0, 2.0, 3.0, 9.0])
    upstream = torch.tensor([10.0, 1.0, 2.0, 3.0, 4.0, 5.0, 100.0, 1000.0])
    y, to_x, to_alpha = learned(x, 2.0, upstream)
    assert to_x.tolist() == [0, 1, 2, 3, 4, 5, 0, 0]
    assert to_alpha.item() == 100 + 1000 - 10
    assert y.tolist() == pytest.approx([-2, -2, -2 / 7, 0, 8 / 7, 2, 2, 2])


@given(st.integers(0, 2**31 - 1), st.floats(0.3, 2.5), st.sampled_from([3, 4, 8]))
def test_gradient_to_alpha_is_that_of_clipping(seed, alpha, bits):
    """What is learned is the surrogate clip(x, -alpha, alpha): rounding passes gradients straight through."""
    generator = torch.Generator().manual_seed(seed)
    x, upstream = torch.randn(2, 400, generator=generator).double()
    h = 1e-6
    clear = ((x.abs() - alpha).abs() > 10 * h).double()
    surrogate = lambda a: float((x.clamp(-a, a) * upstream * clear).sum())  # noqa: E731
    expected = (surrogate(alpha + h) - surrogate(alpha - h)) / (2 * h)
    x32 = (x * clear).float()
    _, to_x, to_alpha = learned(x32, alpha, (upstream * clear).float(), bits)
    assert to_alpha.item() == pytest.approx(expected, abs=1e-3)
    inside = (x.abs() <= alpha) | (clear == 0)
    assert torch.equal(to_x, torch.where(inside, (upstream * clear).float(), 0.0))


@pytest.mark.parametrize("alpha", [0.7, 1.9, 50.0])
def test_values_are_those_of_a_fixed_range(alpha):
    x = torch.randn(2000, generator=torch.Generator().manual_seed(3))
    y, _, to_alpha = learned(x, alpha, x.sign())  # what is cut off on either side adds up
    fixed = fake_quantize(x, per_tensor(Range(-alpha, alpha), QuantizerSpec(4)))
    differs = (y - fixed).abs() > 1e-6 * alpha  # on a tie the last bit of the scale decides
    assert differs.sum() <= 2
    assert (to_alpha == 0) == (alpha == 50.0)


def test_the_gradient_of_a_fixed_range_is_that_of_the_surrogate_by_finite_differences():
    x, params = torch.linspace(-3, 3, 61).double() + 0.013, per_tensor(Range(-1.5, 1.5), QuantizerSpec(4))
    grad = x.float().requires_grad_()
    fake_quantize(grad, params).sum().backward()
    h = 1e-6
    expected = ((x + h).clamp(-1.5, 1.5) - (x - h).clamp(-1.5, 1.5)) / (2 * h)
    torch.testing.assert_close(grad.grad, expected.float(), rtol=0, atol=1e-6)


def test_zero_is_inside_an_affine_range_that_ends_there():
    x = torch.tensor([0.0, 0.5, 1.1], requires_grad=True)
    fake_quantize(x, per_tensor(Range(0.0, 1.0), QuantizerSpec(8, "affine"))).sum().backward()
    assert x.grad.tolist() == [1, 1, 0]


@pytest.mark.parametrize("scheme", ["scale", "affine"])
def test_weights_within_their_range_get_the_same_values_and_a_gradient_of_one(scheme):
    weight = torch.randn(5, 40)
    params = max_weight_params(weight, QuantizerSpec(4, scheme, 0))
    one, other = weight.clone().requires_grad_(), weight.clone().requires_grad_()
    assert torch.equal(fake_quantize_within(one, params), fake_quantize(other, params))
    fake_quantize_within(one, params).sum().backward()
    assert torch.equal(one.grad, torch.ones_like(weight))
