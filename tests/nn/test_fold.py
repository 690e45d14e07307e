"""Batch-norm folding: what is folded, that outputs stay, and what is left alone."""

import copy

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional
from torch.nn import functional as F

from qanalysis.kernels.quantize import max_weight_params, quantize
from qanalysis.models.cifar.efficientnet import efficientnet
from qanalysis.models.cifar.mobilenet import mobilenet_v2
from qanalysis.models.cifar.resnet import resnet20
from qanalysis.nn.fold import fold_batch_norm
from qanalysis.numerics.spec import QuantizerSpec
from qanalysis.schema.errors import UserError
from tests import reference


def trained(model, seed=0):
    """The model in evaluation mode with the statistics and factors that training might have left."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(getattr(module, "running_mean", None), torch.Tensor):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.1, 3, generator=generator)
            if module.weight is not None:
                module.weight.detach().normal_(generator=generator)  # negative factors, too
                module.bias.detach().normal_(generator=generator)
    return model.eval()


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(9))


def check(model, x, pairs, left=()):
    """Folds and compares; returns the folded model."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        expected = model(x)
        folded = fold_batch_norm(model, x)
        assert sorted(folded.pairs) == sorted(pairs)
        assert folded.left == tuple(left)
        torch.testing.assert_close(folded.model(x), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
        assert torch.equal(model(x), expected)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    return folded.model


CONVOLUTIONS = {
    "conv1d": (nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), (2, 3, 8)),
    "conv2d": (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), (2, 3, 8, 8)),
    "conv2d without bias": (nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), (2, 3, 8, 8)),
    "conv2d, grouped": (nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), (2, 4, 8, 8)),
    "conv2d, depthwise": (nn.Conv2d(4, 4, 3, groups=4, bias=False), nn.BatchNorm2d(4), (2, 4, 8, 8)),
    "conv2d, circular padding": (
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"),
        nn.BatchNorm2d(4),
        (2, 3, 8, 8),
    ),
    "conv3d": (nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3), (2, 2, 4, 4, 4)),
    "linear": (nn.Linear(5, 4), nn.BatchNorm1d(4), (3, 5)),
    "linear without bias": (nn.Linear(5, 4, bias=False), nn.BatchNorm1d(4), (3, 5)),
    "transposed 1d": (nn.ConvTranspose1d(3, 4, 3), nn.BatchNorm1d(4), (2, 3, 8)),
    "transposed 2d": (nn.ConvTranspose2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), (2, 3, 5, 5)),
    "transposed 2d, grouped": (nn.ConvTranspose2d(6, 4, 3, groups=2, bias=False), nn.BatchNorm2d(4), (2, 6, 5, 5)),
    "transposed 2d, depthwise": (nn.ConvTranspose2d(4, 4, 2, groups=4), nn.BatchNorm2d(4), (2, 4, 5, 5)),
    "transposed 3d": (nn.ConvTranspose3d(2, 3, 2), nn.BatchNorm3d(3), (2, 2, 3, 3, 3)),
    "norm without factors": (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), (2, 3, 8, 8)),
    "norm with another eps": (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, eps=0.3), (2, 3, 8, 8)),
    "synchronized norm": (nn.Conv2d(3, 4, 3), nn.SyncBatchNorm(4), (2, 3, 8, 8)),
}


@pytest.mark.parametrize(("layer", "norm", "shape"), CONVOLUTIONS.values(), ids=CONVOLUTIONS.keys())
def test_a_layer_and_its_norm(layer, norm, shape):
    check(trained(nn.Sequential(layer, norm, nn.ReLU())), random(*shape), [("0", "1")])


@pytest.mark.parametrize("bias", [True, False])
def test_weights_are_those_of_the_paper(bias):
    conv, norm = nn.Conv2d(3, 4, 3, bias=bias), nn.BatchNorm2d(4)
    model = trained(nn.Sequential(conv, norm))
    folded = check(model, random(2, 3, 5, 5), [("0", "1")])
    expected = reference.fold(
        conv.weight.detach().numpy(),
        conv.bias.detach().numpy() if bias else np.zeros(4),
        *(t.detach().numpy() for t in (norm.weight, norm.bias, norm.running_mean, norm.running_var)),
        norm.eps,
    )
    np.testing.assert_allclose(folded[0].weight.detach(), expected[0], rtol=1e-6)
    np.testing.assert_allclose(folded[0].bias.detach(), expected[1], rtol=1e-5, atol=1e-7)
    assert isinstance(folded[1], nn.Identity)


def test_integer_weights_stay_the_same_up_to_sign():
    """Per-channel max calibration divides a channel by its own maximum, and the folded factor with it."""
    model = trained(nn.Sequential(nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16)).double())
    folded = fold_batch_norm(model, random(2, 8, 5, 5).double()).model
    spec = QuantizerSpec(8, "scale", 0)
    before, after = (quantize(m[0].weight.detach(), max_weight_params(m[0].weight, spec)) for m in (model, folded))
    sign = model[1].weight.sign().view(-1, 1, 1, 1)
    assert torch.equal(after, before * sign)
    assert (sign < 0).any()


@pytest.mark.parametrize(
    ("build", "pairs"),
    [(resnet20, 21), (mobilenet_v2, 52), (efficientnet, 37)],
    ids=["ResNet", "MobileNet", "EfficientNet"],
)
def test_whole_networks(build, pairs):
    torch.manual_seed(0)
    model, x = build(), random(4, 3, 32, 32)
    with torch.no_grad():
        model.train()(x)  # so that the statistics are not the initial ones
        folded = fold_batch_norm(model.eval(), x)
        expected, actual = model(x), folded.model(x)
    assert (len(folded.pairs), folded.left) == (pairs, ())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.model.modules())
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_folding_twice_changes_nothing_more():
    x = random(2, 3, 32, 32)
    once = fold_batch_norm(trained(resnet20()), x).model
    again = fold_batch_norm(once, x)
    assert again.pairs == again.left == ()


class Net(nn.Module):
    """A convolution, a norm, and a forward that uses them as it is told."""

    def __init__(self, forward, conv=None, norm=None):
        super().__init__()
        self.conv = conv or nn.Conv2d(3, 4, 3, padding=1)
        self.norm = norm or nn.BatchNorm2d(4)
        self.run = forward

    def forward(self, x):
        return self.run(self, x)


FOLDED = [("conv", "norm")]


class TestWhatIsLeft:
    @pytest.mark.parametrize(
        "forward",
        [
            lambda m, x: (y := m.conv(x)) + m.norm(y),
            lambda m, x: torch.cat([m.norm(y := m.conv(x)), y]),
            lambda m, x: m.norm(y := m.conv(x)) + y.chunk(2, 0)[0].mean(),
            lambda m, x: m.norm(y := m.conv(x)) + y.max(1, keepdim=True)[0],
            lambda m, x: torch.stack((m.norm(m.conv(x)), m.conv(x))),
            lambda m, x: m.norm(m.conv(x)) + m.norm(x[:, :1].expand(-1, 4, -1, -1)),
            lambda m, x: m.norm(m.conv(x).relu()),
            lambda m, x: m.norm(m.conv(x).relu_()),
            lambda m, x: m.norm(y.relu_()) + 0 * len(y) if (y := m.conv(x)) is not None else None,
            lambda m, x: m.norm(m.conv(x)) + F.conv2d(x, m.conv.weight, padding=1),
            lambda m, x: m.norm(m.conv(x)) * m.conv.weight.mean(),
        ],
        ids=[
            *(
                "sum",
                "concatenation",
                "chunk",
                "max",
                "called twice",
                "norm called twice",
                "relu",
                "relu_",
                "relu_ before",
            ),
            *("weight used in a function", "weight read"),
        ],
    )
    def test_used_in_another_way(self, forward):
        check(trained(Net(forward)), random(2, 3, 5, 5), [], ["norm"])

    def test_written_to_before_the_norm(self):
        def forward(m, x):
            y = m.conv(x)
            y[:, 0] = 1.0
            return m.norm(y)

        check(trained(Net(forward)), random(2, 3, 5, 5), [], ["norm"])

    def test_the_output_itself_is_returned_too(self):
        def forward(m, x):
            y = m.conv(x)
            return {"features": y, "normed": m.norm(y)}

        folded = fold_batch_norm(trained(Net(forward)), random(2, 3, 5, 5))
        assert (folded.pairs, folded.left) == ((), ("norm",))

    def test_a_weight_that_two_layers_share(self):
        model = trained(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)))
        model[2].weight = model[0].weight
        check(model, random(2, 3, 5, 5), [], ["1", "3"])

    def test_a_derived_weight(self):
        conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3, padding=1))
        check(trained(Net(lambda m, x: m.norm(m.conv(x)), conv)), random(2, 3, 5, 5), [], ["norm"])

    def test_a_convolution_that_standardizes_its_weight(self):
        class Standardized(nn.Conv2d):
            def forward(self, x):
                return F.conv2d(x, (self.weight - self.weight.mean()) / self.weight.std(), self.bias, padding=1)

        check(trained(Net(lambda m, x: m.norm(m.conv(x)), Standardized(3, 4, 3))), random(2, 3, 5, 5), [], ["norm"])

    def test_a_convolution_with_an_activation_in_it(self):
        class Activated(nn.Conv2d):
            def forward(self, x):
                return super().forward(x).relu()

        conv = Activated(3, 4, 3, padding=1)
        check(trained(Net(lambda m, x: m.norm(m.conv(x)), conv)), random(2, 3, 5, 5), [], ["norm"])

    def test_a_linear_layer_whose_channels_are_tokens(self):
        model = trained(nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)))
        check(model, random(2, 4, 5), [], ["1"])

    def test_a_norm_before_a_layer(self):
        check(trained(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3))), random(2, 3, 5, 5), [], ["0"])

    def test_a_norm_in_training_mode_is_not_touched(self):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=0.0)).train()
        folded = fold_batch_norm(model, random(2, 3, 5, 5))
        assert folded.pairs == ()
        assert isinstance(folded.model[1], nn.BatchNorm2d)


class TestKindsOfNorm:
    def test_a_norm_with_an_activation_in_it_keeps_the_activation(self):
        class NormAct(nn.BatchNorm2d):
            def __init__(self, channels):
                super().__init__(channels)
                self.act = nn.ReLU()

            def forward(self, x):
                x = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
                return self.act(x)

        folded = check(trained(Net(lambda m, x: m.norm(m.conv(x)), norm=NormAct(4))), random(2, 3, 5, 5), FOLDED)
        assert folded(random(2, 3, 5, 5)).min() >= 0

    def test_frozen_batch_norm(self):
        norm = torchvision.ops.FrozenBatchNorm2d(4)
        check(trained(Net(lambda m, x: m.norm(m.conv(x)), norm=norm)), random(2, 3, 5, 5), FOLDED)

    def test_frozen_batch_norm_whose_input_is_used_twice(self):
        norm = torchvision.ops.FrozenBatchNorm2d(4)
        check(trained(Net(lambda m, x: m.norm(y := m.conv(x)) + y, norm=norm)), random(2, 3, 5, 5), [], ["norm"])

    def test_a_norm_of_several_functions_counts_as_one_use(self):
        class Parts(nn.BatchNorm2d):
            def forward(self, x):
                x = x - self.running_mean.view(1, -1, 1, 1) + 0 * x
                factor = self.weight / (self.running_var + self.eps).sqrt()
                return x * factor.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)

        check(trained(Net(lambda m, x: m.norm(m.conv(x)), norm=Parts(4))), random(2, 3, 5, 5), FOLDED)

    def test_a_norm_without_statistics_is_not_one_that_can_be_folded(self):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)).eval()
        check(model, random(2, 3, 5, 5), [])

    def test_other_norms_are_left_alone(self):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.Conv2d(4, 4, 3), nn.InstanceNorm2d(4)).eval()
        check(model, random(2, 3, 8, 8), [])


class TestWaysToHoldThem:
    def test_a_convolution_that_overrides_forward(self):
        class Same(nn.Conv2d):
            def forward(self, x):
                return F.conv2d(F.pad(x, (1, 1, 1, 1)), self.weight, self.bias)

        check(trained(Net(lambda m, x: m.norm(m.conv(x)), Same(3, 4, 3))), random(2, 3, 5, 5), FOLDED)

    def test_a_convolution_that_holds_its_norm(self):
        class Both(nn.Conv2d):
            def __init__(self):
                super().__init__(3, 4, 3)
                self.norm = nn.BatchNorm2d(4)

            def forward(self, x):
                return self.norm(F.conv2d(x, self.weight, self.bias)).relu()

        check(trained(nn.Sequential(Both())), random(2, 3, 5, 5), [("0", "0.norm")])

    def test_modules_that_are_registered_twice(self):
        class Twice(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
                self.body = nn.Sequential(self.conv, self.norm, nn.ReLU())

            def forward(self, x):
                return self.body(x)

        check(trained(Twice()), random(2, 3, 5, 5), FOLDED)

    def test_an_identity_between_them(self):
        model = trained(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Identity(), nn.BatchNorm2d(4)))
        check(model, random(2, 3, 5, 5), [("0", "2")])

    def test_a_shape_that_is_read_between_them(self):
        def forward(m, x):
            y = m.conv(x)
            assert y.shape[1] == y.size(1) == 4
            return m.norm(y)

        check(trained(Net(forward)), random(2, 3, 5, 5), FOLDED)

    def test_outputs_in_a_dictionary(self):
        model = trained(Net(lambda m, x: {"a": m.norm(m.conv(x)), "b": [x]}))
        x = random(2, 3, 5, 5)
        folded = fold_batch_norm(model, x)
        assert folded.pairs == (("conv", "norm"),)
        torch.testing.assert_close(folded.model(x)["a"], model(x)["a"], rtol=1e-4, atol=1e-4)

    def test_parameters_that_are_not_trained_stay_so(self):
        model = trained(Net(lambda m, x: m.norm(m.conv(x)))).requires_grad_(False)
        folded = fold_batch_norm(model, random(2, 3, 5, 5)).model
        assert not any(parameter.requires_grad for parameter in folded.parameters())


def test_a_network_that_is_random_before_a_norm_is_told_apart_from_a_bad_fold():
    model = trained(Net(lambda m, x: m.norm(m.conv(functional.dropout(x, 0.5, training=True)))))
    with pytest.raises(UserError, match="random in evaluation mode"):
        fold_batch_norm(model, random(2, 3, 5, 5))


def test_what_comes_after_the_norms_does_not_matter():
    """A detector sorts and selects: rounding may change the order of its outputs."""
    model = trained(Net(lambda m, x: torch.rand(3) * m.norm(m.conv(x)).sum()))
    assert fold_batch_norm(model, random(2, 3, 5, 5)).pairs == (("conv", "norm"),)


class Frozen(nn.Module):
    """As DETR writes it: statistics are buffers, and epsilon is in the code."""

    def __init__(self, channels, epsilon=1e-5):
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.rand(channels) + 0.5)
        self.hidden = epsilon

    def forward(self, x):
        shape = (1, -1, 1, 1)
        scale = self.weight.reshape(shape) * (self.running_var.reshape(shape) + self.hidden).rsqrt()
        return x * scale + self.bias.reshape(shape) - self.running_mean.reshape(shape) * scale


def test_a_frozen_norm_that_hides_its_epsilon_is_folded():
    model = trained(Net(lambda m, x: m.norm(m.conv(x))))
    model.norm = Frozen(model.norm.num_features).eval()
    x = random(2, 3, 5, 5)
    found = fold_batch_norm(model, x)
    assert found.pairs == (("conv", "norm"),)
    assert isinstance(found.model.norm, nn.Identity)
    torch.testing.assert_close(found.model(x), model(x), rtol=1e-4, atol=1e-5)


def test_a_look_alike_that_does_more_is_left_alone():
    model = trained(Net(lambda m, x: m.norm(m.conv(x))))
    model.norm = Frozen(model.norm.num_features).eval()
    model.norm.forward = lambda x, plain=model.norm.forward: plain(x).relu()
    assert fold_batch_norm(model, random(2, 3, 5, 5)).pairs == ()


def test_hooks_are_removed_after_an_error():
    def forward(m, x):
        m.norm(m.conv(x))
        raise RuntimeError("inside forward")

    model = trained(Net(forward))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RuntimeError, match="inside forward"):
        fold_batch_norm(model, random(2, 3, 5, 5))
    assert not model.norm._forward_hooks
    assert not model.norm._forward_pre_hooks
    assert torch.overrides._len_torch_function_stack() == 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
