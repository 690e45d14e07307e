"""Sites: what is found, how it is named, what it costs, and that the model is left alone."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from qanalysis.models.cifar.resnet import resnet20
from qanalysis.models.cifar.vit import vit
from qanalysis.nn.observe import coverage, observe
from qanalysis.nn.sites import SiteMode


class Function(nn.Module):
    """A model that is one function of its input, with a parameter `weight` where one is given."""

    def __init__(self, function, weight=None):
        super().__init__()
        self.function = function
        if weight is not None:
            self.weight = nn.Parameter(weight)

    def forward(self, x):
        return self.function(self, x)


def sites(model, *shape):
    """Sites by name, from one forward of random input."""
    with torch.no_grad():
        return {site.name: site for site in coverage(model.eval(), torch.randn(*shape)).sites}


def only_site(model, *shape):
    found = sites(model, *shape)
    assert len(found) == 1
    return next(iter(found.values()))


class TestNames:
    def test_resnet20(self):
        names = list(sites(resnet20(), 1, 3, 32, 32))
        assert len(names) == 22
        assert names[:3] == ["conv1", "layer1.0.conv1", "layer1.0.conv2"]
        assert {"layer2.0.downsample.0", "layer3.2.conv2"} < set(names)
        assert names[-1] == "fc"

    def test_attention_written_out(self):
        names = list(sites(vit(), 1, 3, 32, 32))
        first = ["attn.qkv", "attn:matmul_0", "attn:matmul_1", "attn.proj", "mlp.0", "mlp.2"]
        assert names == ["stem.0", "stem.3", *(f"blocks.{i}.{name}" for i in range(6) for name in first), "head"]

    def test_a_module_that_is_called_twice_is_one_site(self):
        shared = nn.Linear(4, 4)
        model = nn.Sequential(shared, nn.ReLU(), shared)
        assert list(sites(model, 2, 4)) == ["0"]

    def test_functions_in_a_module_that_is_called_twice_are_the_same_sites(self):
        product = Function(lambda self, x: x @ x.mT)
        assert list(sites(nn.Sequential(product, product), 1, 4, 4)) == ["0:matmul_0"]

    def test_several_functions_of_a_module_are_numbered(self):
        model = Function(lambda self, x: (x @ x.mT) @ (x @ x.mT))
        assert list(sites(model, 1, 4, 4)) == ["model:matmul_0", "model:matmul_1", "model:matmul_2"]

    def test_a_convolution_that_overrides_forward(self):
        class Same(nn.Conv2d):
            def forward(self, x):
                return F.conv2d(F.pad(x, (1, 1, 1, 1)), self.weight, self.bias)

        site = only_site(nn.Sequential(nn.ReLU(), Same(3, 4, 3)), 1, 3, 5, 5)
        assert (site.name, site.kind, site.weight_shape) == ("1", "convolution", (4, 3, 3, 3))

    def test_a_weight_that_is_derived_in_forward_belongs_to_the_module(self):
        class Standardized(nn.Conv2d):
            def forward(self, x):
                return F.conv2d(x, self.weight - self.weight.mean(), self.bias)

        site = only_site(nn.Sequential(Standardized(3, 4, 3)), 1, 3, 5, 5)
        assert (site.name, site.roles) == ("0", ("input",))

    @pytest.mark.parametrize("norm", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.orthogonal])
    def test_a_parametrized_weight_belongs_to_the_module(self, norm):
        assert only_site(nn.Sequential(norm(nn.Linear(4, 4))), 2, 4).name == "0"

    def test_a_parametrized_model_of_one_layer(self):
        found = coverage(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)).eval(), torch.randn(2, 4))
        assert [site.name for site in found.sites] == ["model"]
        assert not found.not_covered

    def test_a_model_of_one_layer(self):
        found = coverage(nn.Conv1d(3, 4, 2).eval(), torch.randn(1, 3, 5))
        assert [site.name for site in found.sites] == ["model"]
        assert not found.not_covered

    def test_a_parameter_with_a_name_of_its_own(self):
        class Two(nn.Module):
            def __init__(self):
                super().__init__()
                self.key_weight = nn.Parameter(torch.randn(4, 4))
                self.projection = nn.Parameter(torch.randn(4, 4))

            def forward(self, x):
                return F.linear(x, self.key_weight) + x @ self.projection

        assert list(sites(nn.Sequential(Two()), 2, 4)) == ["0:key", "0:projection"]
        assert list(sites(Two(), 2, 4)) == ["model:key", "model:projection"]

    def test_a_weight_tied_to_an_embedding_is_named_by_the_module_that_multiplies(self):
        class Tied(nn.Module):
            def __init__(self):
                super().__init__()
                self.embedding = nn.Embedding(7, 4)
                self.head = nn.Linear(4, 7)
                self.head.weight = self.embedding.weight

            def forward(self, x):
                return self.head(self.embedding((x > 0).long().flatten(1)))

        assert only_site(Tied(), 2, 3).name == "head"

    def test_a_module_called_by_its_forward_keeps_its_name(self):
        class Direct(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(4, 4)

            def forward(self, x):
                return self.fc.forward(x)

        assert only_site(Direct(), 2, 4).name == "fc"


WEIGHT = torch.randn(4, 5)
BATCH = torch.randn(2, 4, 5)
PRODUCTS = {
    "F.linear": (lambda m, x: F.linear(x, WEIGHT.T), "linear", ("input",)),
    "F.conv1d": (lambda m, x: F.conv1d(x, WEIGHT.view(5, 2, 2), groups=1), "convolution", ("input",)),
    "F.conv1d by keyword": (lambda m, x: F.conv1d(input=x, weight=WEIGHT.view(5, 2, 2)), "convolution", ("input",)),
    "torch.conv2d": (lambda m, x: torch.conv2d(x.unsqueeze(1), WEIGHT.view(5, 1, 2, 2)), "convolution", ("input",)),
    "F.conv_transpose1d": (
        lambda m, x: F.conv_transpose1d(x, WEIGHT.view(2, 5, 2)),
        "transposed convolution",
        ("input",),
    ),
    "@": (lambda m, x: x @ WEIGHT, "matrix product", ("left", "right")),
    "Tensor.matmul": (lambda m, x: x.matmul(WEIGHT), "matrix product", ("left", "right")),
    "torch.matmul": (lambda m, x: torch.matmul(x, other=WEIGHT), "matrix product", ("left", "right")),
    "torch.linalg.matmul": (lambda m, x: torch.linalg.matmul(x, WEIGHT), "matrix product", ("left", "right")),
    "mm": (lambda m, x: torch.mm(x[0], WEIGHT), "matrix product", ("left", "right")),
    "Tensor.mm": (lambda m, x: x[0].mm(mat2=WEIGHT), "matrix product", ("left", "right")),
    "bmm": (lambda m, x: torch.bmm(x, BATCH), "matrix product", ("left", "right")),
    "Tensor.bmm": (lambda m, x: x.bmm(BATCH), "matrix product", ("left", "right")),
    "addmm": (lambda m, x: torch.addmm(torch.ones(5), x[0], WEIGHT), "matrix product", ("left", "right")),
    "baddbmm": (lambda m, x: torch.baddbmm(torch.ones(5), x, BATCH, alpha=2), "matrix product", ("left", "right")),
    "baddbmm_": (lambda m, x: torch.ones(2, 2, 5).baddbmm_(x, BATCH), "matrix product", ("left", "right")),
    "einsum": (lambda m, x: torch.einsum("ntd,do->nto", x, WEIGHT), "matrix product", ("left", "right")),
    "einsum by index lists": (
        lambda m, x: torch.einsum(x, [0, 1, 2], WEIGHT, [2, 3], [0, 1, 3]),
        *("matrix product", ("left", "right")),
    ),
    "einsum of a list": (lambda m, x: torch.einsum("ntd,do->nto", [x, WEIGHT]), "matrix product", ("left", "right")),
}


@pytest.mark.parametrize(("function", "kind", "roles"), PRODUCTS.values(), ids=PRODUCTS.keys())
class TestFunctions:
    def test_is_a_site(self, function, kind, roles):
        site = only_site(Function(function), 2, 2, 4)
        assert (site.kind, site.roles) == (kind, roles)

    def test_the_handler_replaces_its_operands(self, function, kind, roles):
        model, x = Function(function), torch.randn(2, 2, 4)

        def doubled(call):
            assert tuple(call.operands)[: len(roles)] == roles
            return call.compute(**{role: 0 * tensor for role, tensor in call.operands.items()})

        with torch.no_grad():
            expected = function(model, torch.zeros_like(x))
            with SiteMode(model, doubled):
                actual = model(x)
        torch.testing.assert_close(actual, expected)

    def test_computes_what_it_computes_without_the_mode(self, function, kind, roles):
        model, x = Function(function), torch.randn(2, 2, 4)
        expected = model(x)
        with SiteMode(model, lambda call: call.compute()):
            torch.testing.assert_close(model(x), expected, rtol=0, atol=0)


class TestWeights:
    """Which operand of a product is a weight, and along which axis it has channels."""

    def call(self, function, weight, *shape):
        calls = []

        def note(call):
            calls.append(call)
            return call.compute()

        model = Function(function, weight)
        with SiteMode(model, note):
            model(torch.randn(*shape))
        (call,) = calls
        return call

    @pytest.mark.parametrize(
        ("function", "weight_shape", "axis"),
        [
            (lambda m, x: x @ m.weight, (4, 5), -1),
            (lambda m, x: torch.addmm(torch.zeros(5), x, m.weight), (4, 5), -1),
            (lambda m, x: torch.bmm(x.expand(3, 2, 4), m.weight), (3, 4, 5), -1),
            (lambda m, x: x @ m.weight, (4,), None),
            (lambda m, x: torch.einsum("nd,do->no", x, m.weight), (4, 5), 1),
            (lambda m, x: torch.einsum("nd,od->no", x, m.weight), (5, 4), 0),
            (lambda m, x: torch.einsum("nd, od", x, m.weight), (5, 4), 0),
            (lambda m, x: torch.einsum("nd,hdk->nhk", x, m.weight), (3, 4, 5), 2),
            (lambda m, x: torch.einsum("nd,...od->n...o", x, m.weight), (2, 3, 5, 4), 2),
            (lambda m, x: torch.einsum("nd,d->n", x, m.weight), (4,), None),
            (lambda m, x: F.linear(x, m.weight), (5, 4), 0),
            (lambda m, x: F.conv_transpose1d(x[None].mT, m.weight), (4, 5, 2), 1),
        ],
        ids=[
            "@",
            "addmm",
            "bmm",
            "vector",
            "do",
            "od",
            "implicit",
            "hdk",
            "...od",
            "einsum vector",
            "linear",
            "transposed",
        ],
    )
    def test_channel_axis_is_one_that_the_output_keeps(self, function, weight_shape, axis):
        call = self.call(function, torch.randn(weight_shape), 2, 4)
        assert list(call.operands) == ["input", "weight"]
        assert call.channel_axis == axis

    def test_a_product_of_activations_has_no_channel_axis(self):
        assert self.call(lambda m, x: x @ x.T, None, 2, 4).channel_axis is None


class TestCost:
    """Multiply-accumulates per sample, against hand arithmetic."""

    @pytest.mark.parametrize(
        ("model", "shape", "macs"),
        [
            (nn.Conv2d(6, 8, 3, padding=1), (2, 6, 10, 12), 8 * 10 * 12 * 6 * 9),
            (nn.Conv2d(6, 8, 3, stride=2, groups=2), (3, 6, 11, 11), 8 * 5 * 5 * 3 * 9),
            (nn.Conv2d(6, 6, 5, padding=2, groups=6), (1, 6, 7, 7), 6 * 7 * 7 * 25),
            (nn.Conv1d(3, 4, 2, dilation=2), (2, 3, 9), 4 * 7 * 3 * 2),
            (nn.Conv3d(2, 3, 2), (1, 2, 3, 3, 3), 3 * 8 * 2 * 8),
            (nn.ConvTranspose2d(6, 4, 3, stride=2), (2, 6, 5, 5), 6 * 5 * 5 * 4 * 9),
            (nn.ConvTranspose2d(6, 4, 3, groups=2), (2, 6, 5, 5), 6 * 5 * 5 * 2 * 9),
            (nn.Linear(8, 3), (4, 8), 8 * 3),
            (nn.Linear(8, 3), (4, 7, 8), 7 * 8 * 3),
            (Function(lambda m, x: x @ x.mT), (4, 2, 5, 6), 2 * 5 * 5 * 6),
            (Function(lambda m, x: torch.bmm(x, x.mT)), (4, 5, 6), 5 * 5 * 6),
            (Function(lambda m, x: torch.baddbmm(torch.zeros(1), x, x.mT)), (4, 5, 6), 5 * 5 * 6),
            (Function(lambda m, x: torch.einsum("bhtd,bhsd->bhts", x, x[:, :, :3])), (2, 4, 5, 6), 4 * 5 * 3 * 6),
            (Function(lambda m, x: torch.einsum("...td, de", x, torch.ones(6, 7))), (2, 4, 5, 6), 4 * 5 * 6 * 7),
        ],
        ids=[
            *(
                "conv2d",
                "grouped, strided",
                "depthwise",
                "conv1d, dilated",
                "conv3d",
                "transposed",
                "transposed, grouped",
            ),
            *("linear", "linear on tokens", "@", "bmm", "baddbmm", "einsum", "einsum with an ellipsis"),
        ],
    )
    def test_one_operation(self, model, shape, macs):
        assert only_site(model, *shape).macs == macs

    def test_does_not_depend_on_the_batch(self):
        costs = {coverage(resnet20().eval(), torch.randn(n, 3, 32, 32)).macs for n in (1, 5)}
        stage2 = 32 * 16 * 9 * 256 + 5 * 32 * 32 * 9 * 256 + 32 * 16 * 256
        assert costs == {
            16 * 3 * 9 * 1024 + 6 * 16 * 16 * 9 * 1024 + 2 * stage2 + 64 * 10
        }  # stage 3 costs as much as 2

    def test_a_module_that_is_called_twice_costs_twice(self):
        shared = nn.Linear(4, 4)
        assert only_site(nn.Sequential(shared, shared), 3, 4).macs == 2 * 16

    def test_a_second_batch_costs_nothing_more(self):
        model = nn.Sequential(nn.Linear(4, 4))
        seen = observe(model.eval(), [torch.randn(3, 4), torch.randn(2, 4)])
        assert seen.coverage.macs == 16


class TestNotCovered:
    def reasons(self, model, *shape):
        found = coverage(model.eval(), torch.randn(*shape))
        return {(entry.module, entry.operation): entry.reason for entry in found.not_covered}

    def test_a_layer_that_is_never_executed(self):
        class Unused(nn.Module):
            def __init__(self):
                super().__init__()
                self.used, self.auxiliary = nn.Linear(4, 4), nn.Sequential(nn.Conv2d(3, 3, 1))

            def forward(self, x):
                return self.used(x)

        found = self.reasons(Unused(), 2, 4)
        assert found == {("auxiliary.0", "Conv2d"): "not executed in the forward pass that was observed"}

    @pytest.mark.parametrize(
        ("function", "operation"),
        [
            (lambda m, x: torch.einsum("td,de,ef->tf", x, torch.ones(4, 4), torch.ones(4, 4)), "einsum"),
            (lambda m, x: torch.tensordot(x, torch.ones(4, 4), 1), "tensordot"),
            (lambda m, x: torch.linalg.multi_dot([x, torch.ones(4, 4)]), "linalg_multi_dot"),
            (lambda m, x: F.bilinear(x, x, torch.ones(3, 4, 4)), "bilinear"),
        ],
        ids=["einsum of three", "tensordot", "multi_dot", "bilinear"],
    )
    def test_rare_functions(self, function, operation):
        assert list(self.reasons(Function(function), 2, 4)) == [("model", operation)]

    @pytest.mark.parametrize(
        "function",
        [lambda m, x: torch.einsum("td->dt", x), lambda m, x: (x > 0).long() @ torch.ones(4, 1, dtype=torch.long)],
        ids=["einsum of one", "product of integers"],
    )
    def test_what_needs_no_quantization_is_not_mentioned(self, function):
        found = coverage(Function(function), torch.randn(2, 4))
        assert found.sites == found.not_covered == ()


class Failing(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(4, 4))

    def forward(self, x):
        self.fc(x)
        raise RuntimeError("inside forward")


class TestTheModelIsLeftAlone:
    def hooks(self, model):
        kinds = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_always_called", "_forward_hooks_with_kwargs")
        return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)

    def test_hooks_and_parameters(self):
        model = resnet20().eval()
        calls = []
        model.fc.register_forward_hook(lambda module, args, output: calls.append(1))
        state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        before, x = self.hooks(model), torch.randn(2, 3, 32, 32)
        observe(model, [x])
        assert self.hooks(model) == before == 1
        assert len(calls) == 1
        assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())

    def test_hooks_after_an_error(self):
        model = Failing().eval()
        with pytest.raises(RuntimeError, match="inside forward"):
            coverage(model, torch.randn(1, 4))
        assert self.hooks(model) == 0
        assert torch.overrides._len_torch_function_stack() == 0

    def test_the_mode_can_be_used_again_after_an_error(self):
        model = Failing().eval()
        seen = []
        mode = SiteMode(model, lambda call: (seen.append(call.site), call.compute())[1])
        for _ in range(2):
            with pytest.raises(RuntimeError), mode:
                model(torch.randn(1, 4))
        assert seen == ["fc.0", "fc.0"]

    def test_a_forward_that_catches_an_error_keeps_the_names_right(self):
        class Recovers(nn.Module):
            def __init__(self):
                super().__init__()
                self.failing, self.product = Failing(), Function(lambda m, x: x @ x.mT)

            def forward(self, x):
                try:
                    self.failing(x)
                except RuntimeError:
                    return self.product(x) @ x

        assert list(sites(Recovers(), 2, 4)) == ["failing.fc.0", "product:matmul_0", "model:matmul_0"]

    def test_gradients_flow_through(self):
        model, x = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1)), torch.randn(2, 4)
        model(x).sum().backward()
        expected = [p.grad.clone() for p in model.parameters()]
        model.zero_grad()
        with SiteMode(model, lambda call: call.compute()):
            model(x).sum().backward()
        assert all(torch.equal(p.grad, e) for p, e in zip(model.parameters(), expected, strict=True))


def test_hooks_are_spared_where_the_name_does_not_depend_on_the_module():
    shared = nn.Linear(1, 1)
    tied = nn.Linear(1, 1)
    tied.weight = shared.weight
    derived = parametrizations.orthogonal(nn.Linear(1, 1))
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Sequential(nn.BatchNorm2d(1)), shared, tied, derived)
    with SiteMode(model, lambda call: call.compute()):
        hooked = [path for path, module in model.named_modules() if module._forward_pre_hooks]
    assert hooked[:3] == ["3", "4", "5"]
    assert all(path.startswith("5.") for path in hooked[3:])


def test_a_subclass_of_a_module_that_multiplies_nothing_may_multiply():
    class Mixing(nn.ReLU):
        def forward(self, x):
            return super().forward(x @ x.mT)

    names = []

    def handler(call):
        names.append(call.site)
        return call.compute()

    model = nn.Sequential(nn.Identity(), Mixing())
    with SiteMode(model, handler):
        model(torch.ones(2, 2))
    assert names == ["1:matmul_0"]
