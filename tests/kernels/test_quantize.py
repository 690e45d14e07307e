"""Quantize, dequantize, fake quantize and its gradient, against the oracle."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.kernels.quantize import dequantize, fake_quantize, max_weight_params, per_tensor, quantize
from qanalysis.numerics.spec import QuantizerSpec, Range
from tests import reference

SCALE, AFFINE = QuantizerSpec(8, "scale"), QuantizerSpec(8, "affine")
ALL_SPECS = [QuantizerSpec(bits, scheme) for bits in (2, 3, 4, 8) for scheme in ("scale", "affine")]


def spec_id(spec):
    return f"{spec.scheme}{spec.bits}"


@pytest.mark.parametrize("spec", ALL_SPECS, ids=spec_id)
def test_codes_equal_the_oracle(spec):
    x = torch.randn(20_000, generator=torch.Generator().manual_seed(0)) * 2
    beta, alpha = -3.0, 4.3
    codes = quantize(x, per_tensor(Range(beta, alpha), spec))
    scaled = x.double().numpy() * reference.scale(beta, alpha, spec.bits, spec.scheme)
    decided = np.abs(scaled - np.floor(scaled) - 0.5) > 1e-4  # elsewhere float32 may round to the other side
    expected = reference.quantize(x.numpy(), beta, alpha, spec.bits, spec.scheme)
    assert decided.mean() > 0.99
    np.testing.assert_array_equal(codes.numpy()[decided], expected[decided])


def test_ties_go_to_the_even_code():
    params = per_tensor(Range(-127, 127), SCALE)  # step 1
    x = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5])
    assert quantize(x, params).tolist() == [0, 2, 2, 0, -2, -2, 126]
    assert quantize(x, params).tolist() == reference.quantize(x.numpy(), -127, 127).tolist()


@pytest.mark.parametrize("beta", [-128.0, -127.0, -3.0], ids="zero point {}".format)
def test_affine_ties_are_even_before_the_zero_point_is_added(beta):
    alpha = beta + 255  # step 1
    x = torch.arange(-20, 20) / 2
    expected = reference.quantize(x.numpy(), beta, alpha, 8, "affine")
    assert quantize(x, per_tensor(Range(beta, alpha), AFFINE)).tolist() == expected.tolist()


def test_scale_never_uses_minus_128():
    codes = quantize(torch.tensor([-1e9, -128.0, 1e9]), per_tensor(Range(-127, 127), SCALE))
    assert codes.tolist() == [-127, -127, 127]


def test_affine_uses_all_256_codes():
    codes = quantize(torch.linspace(-1, 2, 4000), per_tensor(Range(-1, 2), AFFINE))
    assert sorted(set(codes.tolist())) == list(range(-128, 128))


@pytest.mark.parametrize("spec", ALL_SPECS, ids=spec_id)
def test_zero_stays_zero(spec):
    assert fake_quantize(torch.zeros(1), per_tensor(Range(-0.7, 1.9), spec)).item() == 0.0


@pytest.mark.parametrize("spec", ALL_SPECS, ids=spec_id)
def test_fake_quantization_is_dequantization_of_the_codes(spec):
    params = per_tensor(Range(-1.3, 0.9), spec)
    x = torch.linspace(-2, 2, 999)
    torch.testing.assert_close(fake_quantize(x, params), dequantize(quantize(x, params), params), rtol=0, atol=0)


@pytest.mark.parametrize("spec", ALL_SPECS, ids=spec_id)
def test_fake_quantization_is_idempotent(spec):
    params = per_tensor(Range(-1.3, 0.9), spec)
    once = fake_quantize(torch.linspace(-2, 2, 999), params)
    torch.testing.assert_close(fake_quantize(once, params), once, rtol=0, atol=0)


@given(st.floats(-100, 100, width=32), st.floats(0.01, 50), st.integers(2, 8))
def test_error_is_at_most_half_a_step_inside_the_range(x, alpha, bits):
    params = per_tensor(Range(-alpha, alpha), QuantizerSpec(bits))
    inside = torch.tensor([x]).clamp(-alpha, alpha)
    assert (fake_quantize(inside, params) - inside).abs().item() <= params.step.item() * (0.5 + 1e-5 * 2**bits)


def test_input_is_not_written_to():
    x = torch.randn(100)
    before = x.clone()
    fake_quantize(x, per_tensor(Range(-1, 1), AFFINE))
    assert torch.equal(x, before)


def test_vector_published_by_nvidia():
    """The example in pytorch-quantization's user guide: `torch.rand(10)` from seed 12345 at its own maximum."""
    x = torch.rand(10, generator=torch.Generator().manual_seed(12345))
    params = per_tensor(Range(-x.max().item(), x.max().item()), SCALE)
    assert quantize(x, params).tolist() == [126, 113, 127, 59, 11, 23, 47, 73, 43, 27]
    assert 1 / params.step.item() == pytest.approx(128.0057, abs=5e-5)
    published = torch.tensor([0.9843, 0.8828, 0.9921, 0.4609, 0.0859, 0.1797, 0.3672, 0.5703, 0.3359, 0.2109])
    torch.testing.assert_close(fake_quantize(x, params), published, rtol=0, atol=5.1e-5)


class TestWeights:
    @pytest.mark.parametrize("axis", [0, 1, 3, -1])
    @pytest.mark.parametrize("scheme", ["scale", "affine"])
    def test_each_channel_is_quantized_by_its_own_extremes(self, scheme, axis):
        weight = torch.randn(4, 5, 3, 2) * torch.logspace(-3, 3, 4).view(4, 1, 1, 1)
        quantized = fake_quantize(weight, max_weight_params(weight, QuantizerSpec(8, scheme, axis)))
        for channel, actual in zip(weight.unbind(axis), quantized.unbind(axis), strict=True):
            beta, alpha = channel.min().item(), channel.max().item()
            expected = reference.fake_quantize(channel.numpy(), beta, alpha, 8, scheme)
            step = 1 / reference.scale(beta, alpha, 8, scheme)
            off = np.abs(actual.numpy() - expected) > 1e-5 * max(-beta, alpha)
            assert off.mean() < 0.02  # only values within float32 rounding of a tie may take the neighbouring code
            assert np.abs(actual.numpy() - expected).max() < 1.01 * step

    def test_per_tensor_has_one_step(self):
        weight = torch.randn(4, 5)
        params = max_weight_params(weight, SCALE)
        assert params.step.numel() == 1
        assert params.step.item() == pytest.approx(weight.abs().max().item() / 127)

    @pytest.mark.parametrize("scheme", ["scale", "affine"])
    def test_channel_of_zeros_stays_zero(self, scheme):
        weight = torch.tensor([[0.0, 0.0], [1.0, -2.0]])
        quantized = fake_quantize(weight, max_weight_params(weight, QuantizerSpec(8, scheme, 0)))
        assert quantized[0].tolist() == [0.0, 0.0]
        assert quantized[1, 1].item() == pytest.approx(-2.0)

    @pytest.mark.parametrize("scheme", ["scale", "affine"])
    def test_channel_of_denormal_numbers_becomes_zero_not_nan(self, scheme):
        weight = torch.tensor([[1e-40, 0.0, -1e-41], [1.0, 0.0, -2.0]])
        quantized = fake_quantize(weight, max_weight_params(weight, QuantizerSpec(8, scheme, 0)))
        assert quantized[0].tolist() == [0.0, 0.0, 0.0]
        assert quantized[1].tolist() == pytest.approx([1.0, 0.0, -2.0], abs=2 / 127)

    def test_vector_per_channel_is_exact(self):
        weight = torch.tensor([0.3, -0.7, 0.0])
        quantized = fake_quantize(weight, max_weight_params(weight, QuantizerSpec(4, "scale", 0)))
        torch.testing.assert_close(quantized, weight)

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_weights_that_are_not_finite_are_refused_with_their_number(self, bad):
        with pytest.raises(ValueError, match="weights must be finite, but 2 are NaN or infinite"):
            max_weight_params(torch.tensor([bad, 1.0, bad]), SCALE)

    def test_per_channel_error_is_below_per_tensor_error_on_uneven_channels(self):
        weight = torch.randn(8, 50) * torch.logspace(-3, 0, 8).view(8, 1)
        errors = [
            (fake_quantize(weight, max_weight_params(weight, QuantizerSpec(8, "scale", axis))) - weight)[0].abs().max()
            for axis in (0, None)
        ]
        assert errors[0] < errors[1] / 50


def test_denormal_activations_become_zero_not_nan():
    params = per_tensor(Range(-1e-40, 1e-40), SCALE)
    assert fake_quantize(torch.tensor([1e-40, 0.0, -1e-40]), params).tolist() == [0.0, 0.0, 0.0]


class TestStraightThrough:
    def gradient(self, x, params):
        x = x.clone().requires_grad_()
        upstream = torch.arange(1.0, x.numel() + 1)
        (fake_quantize(x, params) * upstream).sum().backward()
        return (x.grad / upstream).tolist()

    @pytest.mark.parametrize("spec", [SCALE, QuantizerSpec(3)], ids=spec_id)
    def test_gradient_is_one_inside_and_at_the_ends_and_zero_outside(self, spec):
        x = torch.tensor([-5.0, -1.001, -1.0, -0.999, -0.2, 0.0, 0.7, 1.0, 1.001, 80.0])
        expected = reference.straight_through(x.numpy(), -1, 1)
        assert self.gradient(x, per_tensor(Range(-1, 1), spec)) == expected.tolist()

    def test_affine_ends_are_those_of_the_extreme_codes(self):
        beta, alpha = -1.0, 2.003
        params = per_tensor(Range(beta, alpha), AFFINE)
        step, z = 1 / reference.scale(beta, alpha, 8, "affine"), reference.zero_point(beta, alpha, 8, "affine")
        low, high = (-128 - z) * step, (127 - z) * step
        x = torch.tensor([low - 1e-4, low + 1e-4, 0.0, high - 1e-4, high + 1e-4])
        assert self.gradient(x, params) == reference.straight_through(x.numpy(), low, high).tolist()

    def test_the_largest_weight_of_every_channel_keeps_its_gradient(self):
        weight = torch.rand(5000, 1, generator=torch.Generator().manual_seed(1)) * 10 + 1e-3
        weight = torch.cat([weight, -weight, weight / 3], 1)
        assert set(self.gradient_of_weight(weight)) == {1.0}

    def gradient_of_weight(self, weight):
        weight = weight.requires_grad_()
        fake_quantize(weight, max_weight_params(weight, QuantizerSpec(8, "scale", 0))).sum().backward()
        return weight.grad.flatten().tolist()

    def test_values_are_the_same_with_and_without_gradient(self):
        x, params = torch.randn(1000), per_tensor(Range(-1, 1), AFFINE)
        assert torch.equal(fake_quantize(x.clone().requires_grad_(), params), fake_quantize(x, params))

    def test_no_graph_where_gradients_are_off(self):
        with torch.no_grad():
            y = fake_quantize(torch.randn(3, requires_grad=True), per_tensor(Range(-1, 1), SCALE))
        assert not y.requires_grad
