"""Quantized execution, against the same forward written by hand with the oracle's fake quantization."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from qanalysis.nn.observe import observe
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.numerics.calibrate import Max, Percentile
from qanalysis.numerics.spec import Range
from qanalysis.schema.observations import RangeTable
from qanalysis.schema.plan import Override, Plan
from qanalysis.schema.site import TensorId
from tests import reference

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(64, 5)

    def forward(self, x):
        return self.fc(self.conv(x).relu().flatten(1))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture
def x():
    return torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def table(net, x):
    return observe(net, [x]).ranges(Max())


def quantized(tensor, range_=None, bits=8, scheme="scale", axis=None):
    """The oracle's fake quantization: with a range, or per index of `axis` with the extremes found there."""
    values = tensor.detach().numpy()
    if range_ is not None:
        return torch.tensor(reference.fake_quantize(values, range_.beta, range_.alpha, bits, scheme)).float()
    parts = [values] if axis is None else np.split(values, values.shape[axis], axis)
    parts = [reference.fake_quantize(part, part.min(), part.max(), bits, scheme) for part in parts]
    return torch.tensor(parts[0] if axis is None else np.concatenate(parts, axis)).float()


def by_hand(net, x, table, *, weights=8, activations=8, scheme="scale", axis=0, sites=("conv", "fc")):
    def operands(name, layer, x):
        if name not in sites:
            return x, layer.weight
        range_ = table.ranges[TensorId(name, "input")]
        return (
            quantized(x, range_, activations, scheme) if activations else x,
            quantized(layer.weight, None, weights, scheme, axis) if weights else layer.weight,
        )

    x, weight = operands("conv", net.conv, x)
    hidden = F.conv2d(x, weight, net.conv.bias).relu().flatten(1)
    hidden, weight = operands("fc", net.fc, hidden)
    return F.linear(hidden, weight, net.fc.bias)


class TestPlans:
    @pytest.mark.parametrize(
        ("plan", "hand"),
        [
            (Plan(), {}),
            (Plan(weight_bits=4, activation_bits=5), {"weights": 4, "activations": 5}),
            (Plan(weight_granularity="per-tensor"), {"axis": None}),
            (Plan(parts="weights"), {"activations": None}),
            (Plan(parts="activations"), {"weights": None}),
            (
                Plan(weight_bits=3, weight_scheme="affine", parts="weights"),
                {"weights": 3, "scheme": "affine", "activations": None},
            ),
            (Plan().skipping("conv"), {"sites": ["fc"]}),
            (Plan().quantizing_only("conv"), {"sites": ["conv"]}),
            (Plan().quantizing_only(), {"sites": []}),
        ],
        ids=[
            *("8 bits", "4 and 5 bits", "per tensor", "weights", "activations", "affine weights", "skip", "only"),
            "only nothing",
        ],
    )
    def test_equals_the_forward_by_hand(self, net, x, table, plan, hand):
        with torch.no_grad():
            torch.testing.assert_close(QuantizedModel(net, plan, table)(x), by_hand(net, x, table, **hand), **CLOSE)

    def test_affine_activations(self, net, x):
        plan = Plan(parts="activations", activation_scheme="affine", activation_bits=5)
        table = observe(net, [x]).ranges(Max(), plan)
        assert table.ranges[TensorId("fc", "input")].beta == 0
        expected = by_hand(net, x, table, weights=None, activations=5, scheme="affine")
        torch.testing.assert_close(QuantizedModel(net, plan, table)(x), expected, **CLOSE)

    def test_overrides_change_one_site(self, net, x):
        plan = Plan(overrides={"fc": Override(weight_bits=3, activation_bits=3, calibration="percentile:90")})
        seen = observe(net, [x])
        table = seen.ranges(Max(), plan)
        conv, fc = TensorId("conv", "input"), TensorId("fc", "input")
        hidden = F.conv2d(quantized(x, table.ranges[conv]), quantized(net.conv.weight, axis=0), net.conv.bias).relu()
        range_ = seen.ranges(Percentile(90)).ranges[fc]
        hidden = quantized(hidden.flatten(1), range_, 3)
        expected = F.linear(hidden, quantized(net.fc.weight, bits=3, axis=0), net.fc.bias)
        torch.testing.assert_close(QuantizedModel(net, plan, table)(x), expected, **CLOSE)

    def test_outputs_are_not_quantized(self, net, x, table):
        assert len(QuantizedModel(net, Plan(activation_bits=2), table)(x).unique()) == 8 * 5

    def test_fewer_bits_are_further_from_the_float_model(self, net, x, table):
        with torch.no_grad():
            errors = [
                (QuantizedModel(net, Plan(weight_bits=b, activation_bits=b), table)(x) - net(x)).pow(2).mean().item()
                for b in (8, 6, 4, 2)
            ]
        assert errors == sorted(errors)
        assert errors[0] < errors[1] / 4


def test_attention_products_quantize_both_operands():
    class Attention(nn.Module):
        def forward(self, x):
            return F.scaled_dot_product_attention(x, x * 0.5, x + 1)

    model, x = Attention(), torch.randn(2, 4, 8)
    table = observe(model, [x]).ranges(Max())
    operand = {tensor.site[-1] + tensor.role: range_ for tensor, range_ in table.ranges.items()}
    query, key = quantized(x * 8**-0.5, operand["0left"]), quantized(x * 0.5, operand["0right"])
    weights = (query @ key.mT).softmax(-1)
    expected = quantized(weights, operand["1left"]) @ quantized(x + 1, operand["1right"])
    with torch.no_grad():
        torch.testing.assert_close(QuantizedModel(model, Plan(), table)(x), expected, rtol=1e-3, atol=1e-3)


def test_multi_head_attention_quantizes_its_four_sites():
    torch.manual_seed(0)
    layer, x = nn.MultiheadAttention(8, 2, batch_first=True).eval(), torch.randn(2, 4, 8)

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.attn = layer

        def forward(self, x):
            return self.attn(x, x, x, need_weights=False)[0]

    table = observe(Attention().eval(), [x]).ranges(Max())
    ranges = {str(tensor).removeprefix("attn"): range_ for tensor, range_ in table.ranges.items()}
    packed = F.linear(quantized(x, ranges[":in_proj"]), quantized(layer.in_proj_weight, axis=0), layer.in_proj_bias)
    q, k, v = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in packed.chunk(3, -1))
    scores = quantized(q / 2, ranges[":matmul_0/left"]) @ quantized(k, ranges[":matmul_0/right"]).mT
    heads = quantized(scores.softmax(-1), ranges[":matmul_1/left"]) @ quantized(v, ranges[":matmul_1/right"])
    merged = quantized(heads.transpose(1, 2).flatten(-2), ranges[".out_proj"])
    expected = F.linear(merged, quantized(layer.out_proj.weight, axis=0), layer.out_proj.bias)
    with torch.no_grad():
        actual = QuantizedModel(Attention().eval(), Plan(), table)(x)
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-3)


def test_a_transposed_convolution_has_a_range_for_every_output_channel():
    layer, x = nn.ConvTranspose2d(3, 4, 2).eval(), torch.randn(2, 3, 5, 5)
    with torch.no_grad():
        layer.weight *= torch.logspace(-2, 2, 4).view(1, 4, 1, 1)
        expected = F.conv_transpose2d(x, quantized(layer.weight, axis=1), layer.bias)
        actual = QuantizedModel(layer, Plan(parts="weights"))(x)
    torch.testing.assert_close(actual, expected, **CLOSE)


class TestRanges:
    def test_a_site_without_a_range_stays_in_floating_point(self, net, x, table):
        ranges = dict(table.ranges) | {TensorId("conv", "input"): None}
        partial = RangeTable("max", ranges)
        with torch.no_grad():
            actual = QuantizedModel(net, Plan(), partial)(x)
            torch.testing.assert_close(actual, by_hand(net, x, table, sites=["fc"]), **CLOSE)

    def test_an_all_zero_operand_leaves_the_whole_product_in_floating_point(self):
        class Product(nn.Module):
            def forward(self, x):
                return x @ torch.zeros_like(x).mT

        x = torch.randn(2, 3, 4)
        table = observe(Product(), [x]).ranges(Max())
        assert table.unranged_sites() == ("model:matmul_0",)
        assert torch.equal(QuantizedModel(Product(), Plan(), table)(x), torch.zeros(2, 3, 3))

    def test_no_ranges_are_needed_for_weights_alone(self, net, x, table):
        with torch.no_grad():
            assert torch.equal(
                QuantizedModel(net, Plan(parts="weights"))(x), QuantizedModel(net, Plan(parts="weights"), table)(x)
            )

    @pytest.mark.parametrize("parts", ["both", "activations"])
    def test_ranges_are_needed_for_activations(self, net, parts):
        with pytest.raises(ValueError, match="needs ranges: calibrate first, or use parts='weights'"):
            QuantizedModel(net, Plan(parts=parts))

    def test_a_site_that_calibration_did_not_reach_stays_in_floating_point(self, net, x):
        table = RangeTable("max", {TensorId("conv", "input"): Range(-1, 1)})
        model = QuantizedModel(net, Plan(), table)
        assert torch.equal(model(x), QuantizedModel(net, Plan().skipping("fc"), table)(x))
        assert model.unreached == {"fc"}

    def test_a_weight_that_is_not_finite_names_its_site(self, net, x, table):
        net.fc.weight.data[0, 0] = float("nan")
        with pytest.raises(ValueError, match=r"^fc: weights must be finite, but 1 are NaN or infinite$"):
            QuantizedModel(net, Plan(), table)(x)


class TestWeightsOverTime:
    """Weights are quantized once, but never from an older value."""

    @pytest.fixture(autouse=True)
    def _no_grad(self):
        with torch.no_grad():
            yield

    def test_the_same_weight_is_quantized_once(self, net, x, monkeypatch):
        import qanalysis.nn.quantized as module

        calls, original = [], module.max_weight_params
        monkeypatch.setattr(module, "max_weight_params", lambda *args: (calls.append(1), original(*args))[1])
        model = QuantizedModel(net, Plan(parts="weights"))
        for _ in range(3):
            model(x)
        assert len(calls) == 2

    def test_changed_in_place(self, net, x, table):
        model = QuantizedModel(net, Plan(), table)
        model(x)
        net.fc.weight.mul_(-3)
        torch.testing.assert_close(model(x), by_hand(net, x, table), **CLOSE)

    def test_replaced_by_a_state_dict(self, net, x, table):
        model = QuantizedModel(net, Plan(), table)
        model(x)
        torch.manual_seed(5)
        net.load_state_dict(Net().state_dict())
        torch.testing.assert_close(model(x), by_hand(net, x, table), **CLOSE)

    def test_replaced_by_another_parameter(self, net, x, table):
        model = QuantizedModel(net, Plan(), table)
        model(x)
        net.fc.weight = nn.Parameter(torch.randn(5, 64))
        torch.testing.assert_close(model(x), by_hand(net, x, table), **CLOSE)

    def test_converted_to_another_type(self, net, x, table):
        model = QuantizedModel(net, Plan(), table)
        before = model(x)
        assert model.double()(x.double()).dtype == torch.float64
        torch.testing.assert_close(model(x.double()).float(), before, **CLOSE)

    def test_derived_from_other_parameters(self, net, x):
        nn.utils.parametrizations.weight_norm(net.fc)
        model = QuantizedModel(net, Plan(parts="weights").quantizing_only("fc"))
        model(x)
        net.fc.parametrizations.weight.original0.mul_(2)
        expected = F.linear(net.conv(x).relu().flatten(1), quantized(net.fc.weight, axis=0), net.fc.bias)
        torch.testing.assert_close(model(x), expected, **CLOSE)

    def test_inference_mode_gives_the_same(self, net, x, table):
        model = QuantizedModel(net, Plan(), table)
        with torch.inference_mode():
            inside = model(x).clone()
        assert torch.equal(model(x), inside)

    def test_inference_mode_with_derived_weights(self, net, x):
        nn.utils.parametrizations.weight_norm(net.fc)
        model = QuantizedModel(net, Plan(parts="weights"))
        with torch.inference_mode():
            inside = model(x).clone()
        assert torch.equal(model(x), inside)


class TestGradients:
    def test_reach_every_parameter_and_the_input(self, net, x, table):
        x = x.requires_grad_()
        QuantizedModel(net, Plan(), table)(x).pow(2).sum().backward()
        assert x.grad.abs().sum() > 0
        assert all(parameter.grad.abs().sum() > 0 for parameter in net.parameters())

    def test_are_those_of_the_straight_through_estimator(self):
        layer, x = nn.Linear(3, 2, bias=False), torch.tensor([[0.4, -3.0, 0.9]])
        table = RangeTable("max", {TensorId("model", "input"): Range(-1, 1)})
        x.requires_grad_()
        QuantizedModel(layer, Plan(), table)(x).sum().backward()
        weight, inputs = quantized(layer.weight, axis=0), quantized(x, Range(-1, 1))
        mask = torch.tensor(reference.straight_through(x.detach().numpy(), -1, 1)).float()
        torch.testing.assert_close(x.grad, weight.sum(0) * mask)
        torch.testing.assert_close(layer.weight.grad, inputs.expand(2, 3))

    def test_are_not_lost_after_an_evaluation_without_them(self, net, x, table):
        model = QuantizedModel(net, Plan(), table)
        with torch.no_grad():
            model(x)
        model(x).sum().backward()
        assert net.fc.weight.grad is not None
        assert net.conv.weight.grad is not None

    def test_training_through_the_wrapper_changes_the_model(self, net, x, table):
        model = QuantizedModel(net, Plan(weight_bits=3, activation_bits=3), table)
        target = net(x).detach()
        optimizer = torch.optim.SGD(model.parameters(), 0.02)
        losses = []
        for _ in range(30):
            optimizer.zero_grad()
            loss = (model(x) - target).pow(2).mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert min(losses[-5:]) < 0.7 * losses[0]


def test_the_model_itself_stays_as_it_was(net, x, table):
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    expected = net(x)
    model = QuantizedModel(net, Plan(weight_bits=2, activation_bits=2), table)
    assert not torch.allclose(model(x), expected)
    assert torch.equal(net(x), expected)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_parameters_are_shared_not_copied(net, table):
    model = QuantizedModel(net, Plan(), table)
    assert {id(p) for p in model.parameters()} == {id(p) for p in net.parameters()}
    assert list(model.state_dict()) == [f"model.{name}" for name in net.state_dict()]


def test_results_do_not_depend_on_the_batch(net, x, table):
    model = QuantizedModel(net, Plan(), table)
    with torch.no_grad():
        torch.testing.assert_close(torch.cat([model(x[:3]), model(x[3:])]), model(x), **CLOSE)
