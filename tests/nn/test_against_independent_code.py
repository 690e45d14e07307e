"""The library's numbers against code that knows nothing of it: float64 quantization, hooks, PyTorch's FLOP counter."""

from collections import Counter

import numpy as np
import pytest
import torch
import torchvision.models as zoo
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from qanalysis.models.cifar import efficientnet, mobilenet, resnet
from qanalysis.nn.observe import coverage, observe
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.numerics.calibrate import Max, Percentile
from qanalysis.schema.plan import Plan

#: Architectures, and the side of their smallest inputs.
ARCHITECTURES = {
    **dict.fromkeys(("alexnet", "squeezenet1_1"), 64),
    **dict.fromkeys(("resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "vgg11_bn"), 32),
    **dict.fromkeys(("mobilenet_v2", "mobilenet_v3_small", "mnasnet0_5", "shufflenet_v2_x0_5"), 32),
    **dict.fromkeys(("efficientnet_b0", "efficientnet_v2_s", "regnet_y_400mf", "regnet_x_400mf"), 32),
    **dict.fromkeys(("densenet121", "convnext_tiny", "googlenet"), 64),
    **dict.fromkeys(("inception_v3",), 107),
    **dict.fromkeys(("swin_t",), 64),
    **dict.fromkeys(("vit_b_16",), 224),
}
_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    more = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return zoo.get_model(name, weights=None, **more).eval()


@torch.no_grad()
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_sites_and_work_are_those_of_hooks_and_of_pytorchs_counter(name, monkeypatch):
    monkeypatch.setattr(torch.backends.mha, "_is_fastpath_enabled", False)  # whose operator the counter does not know
    model, side = build(name), ARCHITECTURES[name]
    x = torch.randn(1, 3, side, side)
    called: Counter[str] = Counter()
    hooks = [
        module.register_forward_hook(lambda *_, path=path: called.update([path]))
        for path, module in model.named_modules()
        if isinstance(module, _LAYERS)
    ]
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # it knows no fused one of a CPU
        model(x)
    for hook in hooks:
        hook.remove()
    found = coverage(model, x)
    assert found.macs == counter.get_total_flops() // 2
    names = {site.name for site in found.sites}
    missing = {path for path in called if path not in names}
    assert all(path.endswith("out_proj") for path in missing)  # attention calls these weights as functions
    assert not [work for work in found.not_covered if work.macs]


def fake(values: torch.Tensor, alpha: np.ndarray, bits: int = 8) -> torch.Tensor:
    """Equations 1 to 4 in float64: s = (2^(b-1) - 1) / α, round half to even, clip."""
    top = 2 ** (bits - 1) - 1
    x, s = values.double().numpy(), top / alpha
    return torch.from_numpy(np.clip(np.rint(s * x), -top, top) / s)


def weight_ranges(weight: torch.Tensor) -> np.ndarray:
    largest = weight.double().abs().flatten(1).amax(1).numpy()
    return largest.reshape(-1, *[1] * (weight.ndim - 1))


@torch.no_grad()
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("make", [resnet.resnet20, mobilenet.mobilenet_v2, efficientnet.efficientnet])
def test_every_site_alone_computes_what_a_loop_in_float64_does(make, bits):
    torch.manual_seed(0)
    model = make().eval()
    x = torch.randn(4, 3, 32, 32)
    ranges = observe(model, [x]).ranges(Max())
    layers = {path: module for path, module in model.named_modules() if isinstance(module, _LAYERS)}
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    hooks = [
        module.register_forward_hook(lambda m, args, out, path=path: seen.update({path: (args[0], out)}))
        for path, module in layers.items()
    ]
    plan = Plan(weight_bits=bits, activation_bits=bits)
    QuantizedModel(model, plan, ranges)(x)
    for hook in hooks:
        hook.remove()
    inputs = {tensor.site: range_.amax for tensor, range_ in ranges.ranges.items() if range_ is not None}
    for path, (given, output) in seen.items():
        layer = layers[path]
        left, right = fake(given, np.array(inputs[path]), bits), fake(layer.weight, weight_ranges(layer.weight), bits)
        bias = None if layer.bias is None else layer.bias.double()
        if isinstance(layer, nn.Linear):
            expected = F.linear(left, right, bias)
        else:
            expected = F.conv2d(left, right, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
        error = (output.double() - expected).abs().max() / expected.abs().max()
        # a value that lies on the edge of two codes may take the other one in float32
        edge = _on_an_edge(given, np.array(inputs[path]), bits)
        edge = edge or _on_an_edge(layer.weight, weight_ranges(layer.weight), bits)
        assert float(error) <= (1e-2 if edge else 1e-6), path


def _on_an_edge(values: torch.Tensor, alpha: np.ndarray, bits: int) -> bool:
    scaled = values.detach().double().numpy() * ((2 ** (bits - 1) - 1) / alpha)
    return bool((np.abs(np.abs(scaled - np.rint(scaled)) - 0.5) < 2e-5).any())


@torch.no_grad()
@pytest.mark.parametrize("make", [resnet.resnet20, mobilenet.mobilenet_v2])
def test_ranges_are_those_of_plain_hooks(make):
    torch.manual_seed(0)
    model = make().eval()
    batches = [torch.randn(3, 3, 32, 32) for _ in range(2)]
    kept: dict[str, list[np.ndarray]] = {}
    layers = {path: module for path, module in model.named_modules() if isinstance(module, _LAYERS)}
    hooks = [
        module.register_forward_pre_hook(
            lambda m, args, path=path: kept.setdefault(path, []).append(args[0].abs().flatten().numpy())
        )
        for path, module in layers.items()
    ]
    for batch in batches:
        model(batch)
    for hook in hooks:
        hook.remove()
    found = observe(model, batches)
    largest, nearly = found.ranges(Max()).ranges, found.ranges(Percentile(99.9)).ranges
    for tensor, range_ in largest.items():
        values = np.sort(np.concatenate(kept[tensor.site]))
        assert range_.amax == values[-1]
        order = values[int(np.ceil(0.999 * len(values))) - 1]
        assert nearly[tensor].amax == pytest.approx(float(order), abs=float(values[-1]) / 2048)
