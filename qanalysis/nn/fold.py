"""Batch-norm folding (Appendix C, Eq. 14-16): the normalization moved into the weights of the layer before it."""

import copy
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_LAYERS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    nn.Linear,
)


@dataclass(frozen=True)
class Folded:
    """A folded copy of a model.

    Attributes:
        model: the copy.
        pairs: (layer, batch norm) paths that were folded.
        left: paths of batch norms that were not, because their input is not the sole use of one layer's output.
    """

    model: nn.Module
    pairs: tuple[tuple[str, str], ...]
    left: tuple[str, ...]


@torch.no_grad()
def fold_batch_norm(model: nn.Module, example: torch.Tensor) -> Folded:
    """Folds every batch norm whose input is the output of one layer and of nothing else.

    Which these are is read off one forward of `example`, so that it works whatever the model's code looks like.

    Args:
        model: in evaluation mode; it is not changed.
        example: one batch of inputs.

    Raises:
        ValueError: if the folded copy does not give the model's outputs within float rounding.
    """
    pairs, norms = _pairs(model, example)
    folded = copy.deepcopy(model)
    for layer_path, norm_path in pairs:
        _fold(folded.get_submodule(layer_path), folded.get_submodule(norm_path))
        _neutralize(folded, norm_path)
    expected, actual = model(example), folded(example)
    difference = (expected - actual).abs().max()
    if not difference <= 1e-3 * expected.abs().max() + 1e-6:
        raise ValueError(f"folding must keep the outputs, but they differ by {float(difference):.3g}")
    return Folded(folded, tuple(pairs), tuple(sorted(norms - {norm for _, norm in pairs})))


def _fold(layer: nn.Module, norm: nn.Module) -> None:
    """Eq. 16: w' = c w and b' = c b + d, with c and d of Eq. 14, computed in float64."""
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, nn.Parameter)
    mean, variance, eps = norm.running_mean.double(), norm.running_var.double(), norm.eps  # type: ignore[union-attr, operator]
    c = torch.rsqrt(variance + eps)  # type: ignore[operator]
    if norm.weight is not None:
        c = c * norm.weight.double()  # type: ignore[operator]
    d = -mean * c if norm.bias is None else norm.bias.double() - mean * c  # type: ignore[operator]
    transposed = isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d)
    if transposed:
        groups = int(layer.groups)  # type: ignore[arg-type]
        grouped = weight.double().unflatten(0, (groups, -1))  # (groups, C_in / groups, C_out / groups, …)
        scale = c.view(groups, 1, -1, *[1] * (weight.ndim - 2))
        scaled = (grouped * scale).flatten(0, 1)
    else:
        scaled = weight.double() * c.view(-1, *[1] * (weight.ndim - 1))
    layer.weight = nn.Parameter(scaled.to(weight.dtype), requires_grad=weight.requires_grad)
    shift = d if bias is None else c * bias.double() + d  # type: ignore[operator]
    layer.bias = nn.Parameter(shift.to(weight.dtype), requires_grad=weight.requires_grad)


def _neutralize(model: nn.Module, path: str) -> None:
    """Replaces a plain batch norm by the identity; one with more in it (an activation) is made to normalize nothing."""
    norm = model.get_submodule(path)
    if type(norm) in _NORMS:
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, nn.Identity())
        return
    norm.running_mean.zero_()  # type: ignore[operator, union-attr]
    norm.running_var.fill_(1 - float(norm.eps))  # type: ignore[operator, union-attr, arg-type]
    if isinstance(norm.weight, torch.Tensor):
        norm.weight.fill_(1)
    if isinstance(norm.bias, torch.Tensor):
        norm.bias.zero_()


def _is_norm(module: nn.Module) -> bool:
    """A batch norm with fixed statistics: PyTorch's own, its subclasses, and look-alikes with the same buffers."""
    fields = ("running_mean", "running_var", "weight", "bias")
    alike = isinstance(module, _NORMS) or all(hasattr(module, field) for field in (*fields, "eps"))
    return alike and isinstance(module.running_mean, torch.Tensor) and not module.training


def _pairs(model: nn.Module, example: torch.Tensor) -> tuple[list[tuple[str, str]], set[str]]:
    """(layer, norm) paths that can be folded, and the paths of all norms."""
    produced: dict[int, tuple[str, torch.Tensor]] = {}  # the tensors are kept, so that an id stays theirs
    consumers: Counter[int] = Counter()
    calls: Counter[str] = Counter()
    candidates: dict[str, tuple[str, int]] = {}
    holders: Counter[int] = Counter(
        id(parameter) for module in model.modules() for parameter in module._parameters.values() if parameter is not None
    )
    layers = {path: m for path, m in model.named_modules() if isinstance(m, _LAYERS) and holders[id(m.weight)] == 1}
    norms = {path: m for path, m in model.named_modules() if _is_norm(m)}

    class Consumers(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                consumers.update(id(value) for value in _tensors((args, kwargs or {})) if id(value) in produced)
            return result

    def after_layer(path: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            calls[path] += 1
            if isinstance(output, torch.Tensor):
                produced[id(output)] = (path, output)

        return hook

    def before_norm(path: str) -> Any:
        def hook(module: nn.Module, args: Any) -> None:
            calls[path] += 1
            if args and id(args[0]) in produced:
                candidates[path] = (produced[id(args[0])][0], id(args[0]))

        return hook

    hooks = [module.register_forward_hook(after_layer(path)) for path, module in layers.items()]
    hooks += [module.register_forward_pre_hook(before_norm(path)) for path, module in norms.items()]
    try:
        with Consumers():
            output = model(example)
            consumers.update(id(value) for value in _tensors(output))
    finally:
        for handle in hooks:
            handle.remove()
    pairs = [
        (layer, norm)
        for norm, (layer, tensor) in candidates.items()
        if calls[layer] == 1 and calls[norm] == 1 and (consumers[tensor] == 1 or _composed(norms[norm]))
    ]
    return pairs, set(norms)


def _composed(norm: nn.Module) -> bool:
    """Whether a norm computes with several functions (frozen batch norm); then its own uses are not counted apart."""
    return not isinstance(norm, _NORMS)


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in _tensors(item)]
    return []
