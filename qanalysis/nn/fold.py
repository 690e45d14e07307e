"""Batch-norm folding (Appendix C, Eq. 14-16): the normalization moved into the weights of the layer before it."""

import copy
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from qanalysis.nn.operations import OPERATIONS
from qanalysis.nn.structure import CallModel, Inputs, call_model, leaves
from qanalysis.schema.errors import UserError

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
def fold_batch_norm(model: nn.Module, example: Inputs, call: CallModel = call_model) -> Folded:
    """Folds every batch norm whose input is the output of one layer and of nothing else.

    Which these are is read off one forward of `example`, so that it works whatever the model's code looks like.

    Args:
        model: in evaluation mode; it is not changed.
        example: one batch of inputs.
        call: how the model is run on inputs.

    Raises:
        UserError: if the network gives other values when it is run again.
        UserError: if the folded copy does not give the outputs of its norms within float rounding.
    """
    pairs, norms = _pairs(model, example, call)
    paths = [norm for _, norm in pairs]
    before, again = _outputs_of(model, paths, example, call), _outputs_of(model, paths, example, call)
    if any(not torch.equal(values, again[path]) for path, values in before.items()):
        raise UserError(
            "The network is random in evaluation mode: two runs on the same input differ (dropout or drop path that is "
            "always on?), so folding batch norm cannot be checked; make it deterministic."
        )
    folded = copy.deepcopy(model)
    for layer_path, norm_path in pairs:
        _fold(folded.get_submodule(layer_path), folded.get_submodule(norm_path))
        _neutralize(folded, norm_path)
    # at the folded norms themselves: what comes later may sort or select (boxes), and tells less
    for path, actual in _outputs_of(folded, paths, example, call).items():
        difference = (before[path] - actual).abs().max()
        if not difference <= 1e-3 * before[path].abs().max() + 1e-6:
            raise UserError(f"folding must keep the outputs, but those of {path} differ by {float(difference):.3g}")
    return Folded(folded, tuple(pairs), tuple(sorted(norms - {norm for _, norm in pairs})))


def factor(norm: nn.Module) -> torch.Tensor:
    """What a batch norm multiplies each channel by: c of Eq. 14, `(C,)` in float64."""
    if not hasattr(norm, "eps"):
        return _affine(norm)[0]
    c = torch.rsqrt(norm.running_var.double() + norm.eps)  # type: ignore[operator]
    return c if norm.weight is None else c * norm.weight.double()  # type: ignore[operator]


def _fold(layer: nn.Module, norm: nn.Module) -> None:
    """Eq. 16: w' = c w and b' = c b + d, with c and d of Eq. 14, computed in float64."""
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, nn.Parameter)
    c, d = _affine(norm)
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
    """Makes a batch norm normalize nothing, and replaces it by the identity if it is a plain one, wherever it is held.

    One with more in it (an activation) stays.
    """
    norm = model.get_submodule(path)
    plain = type(norm) in _NORMS or not hasattr(norm, "eps")  # of the latter it was tried out that it does no more
    if not plain:
        norm.running_mean.zero_()  # type: ignore[operator]
        norm.running_var.fill_(1 - float(norm.eps))  # type: ignore[operator, arg-type]
        if isinstance(norm.weight, torch.Tensor):
            norm.weight.fill_(1)
        if isinstance(norm.bias, torch.Tensor):
            norm.bias.zero_()
    if plain:
        for parent in list(model.modules()):
            for name, child in parent._modules.items():
                if child is norm:
                    parent._modules[name] = nn.Identity()


def _is_norm(module: nn.Module) -> bool:
    """A batch norm with fixed statistics: PyTorch's own, its subclasses, and look-alikes with the same buffers."""
    fields = ("running_mean", "running_var", "weight", "bias")
    alike = isinstance(module, _NORMS) or all(hasattr(module, field) for field in fields)
    fixed = alike and isinstance(module.running_mean, torch.Tensor) and not module.training
    return fixed and (hasattr(module, "eps") or _probed(module) is not None)


def _affine(norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """c and d of Eq. 14, `(C,)` in float64: the norm is x ↦ c x + d."""
    if not hasattr(norm, "eps"):
        probed = _probed(norm)
        assert probed is not None  # it would not have been taken for a norm
        return probed
    c = factor(norm)
    shift = -norm.running_mean.double() * c  # type: ignore[operator]
    return c, shift if norm.bias is None else shift + norm.bias.double()  # type: ignore[operator]


def _probed(norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor] | None:
    """c and d of a frozen norm that does not tell its epsilon, read off three inputs; None if it is not x ↦ c x + d."""
    channels = norm.running_mean.numel()  # type: ignore[operator]
    like = norm.running_mean
    try:
        d, one, minus = (
            norm(torch.full((1, channels, 1, 1), value, device=like.device, dtype=like.dtype)).double().flatten()  # type: ignore[arg-type]
            for value in (0.0, 1.0, -1.0)
        )
    except (RuntimeError, TypeError, ValueError):
        return None
    c = (one - minus) / 2
    straight = torch.allclose(one, c + d, rtol=1e-4, atol=1e-6) and len(d) == channels
    return (c, d) if straight else None


def _outputs_of(model: nn.Module, paths: list[str], example: Inputs, call: CallModel) -> dict[str, torch.Tensor]:
    """What the modules at these paths return in one forward of the example."""
    outputs: dict[str, torch.Tensor] = {}

    def keep(path: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            outputs[path] = output.clone()

        return hook

    hooks = [model.get_submodule(path).register_forward_hook(keep(path)) for path in paths]
    try:
        call(model, example)
    finally:
        for handle in hooks:
            handle.remove()
    return outputs


def _pairs(model: nn.Module, example: Inputs, call: CallModel) -> tuple[list[tuple[str, str]], set[str]]:
    """(layer, norm) paths that can be folded, and the paths of all norms."""
    holders = Counter(id(parameter) for module in model.modules() for parameter in module._parameters.values())
    layers = {id(m.weight): path for path, m in model.named_modules() if isinstance(m, _LAYERS)}
    trace = _Trace({weight: path for weight, path in layers.items() if holders[weight] == 1})
    norms = {path: m for path, m in model.named_modules() if _is_norm(m)}
    calls: Counter[str] = Counter()
    inputs: dict[str, int] = {}
    uses_before: dict[str, int] = {}

    def before_norm(path: str) -> Any:
        def hook(module: nn.Module, args: Any) -> None:
            calls[path] += 1
            if args and id(args[0]) in trace.products:
                inputs[path] = id(args[0])
                uses_before[path] = trace.uses[id(args[0])]

        return hook

    def after_norm(path: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if path in inputs:  # one use, however many functions the norm is made of
                trace.uses[inputs[path]] = uses_before[path] + 1

        return hook

    hooks = [module.register_forward_pre_hook(before_norm(path)) for path, module in norms.items()]
    hooks += [module.register_forward_hook(after_norm(path)) for path, module in norms.items()]
    try:
        with trace:
            output = call(model, example)
            trace.use(output)
    finally:
        for handle in hooks:
            handle.remove()
    pairs = []
    for norm, tensor in inputs.items():
        layer = trace.products[tensor][0]
        weight = id(model.get_submodule(layer).weight)
        if calls[norm] == trace.uses[tensor] == trace.uses[weight] == 1:
            pairs.append((layer, norm))
    return pairs, set(norms)


class _Trace(TorchFunctionMode):
    """Notes which tensors are the plain product of a layer with its own weight, and how often both are used.

    Attributes:
        products: id of the tensor → path of its layer, and the tensor itself, kept so that the id stays its own.
        uses: how many functions took the product or the weight of this id.
    """

    def __init__(self, layers: dict[int, str]) -> None:
        super().__init__()
        self._layers = layers
        self.products: dict[int, tuple[str, torch.Tensor]] = {}
        self.uses: Counter[int] = Counter()

    def use(self, value: Any) -> None:
        ids = {id(tensor) for tensor in _tensors(value)}
        self.uses.update(id_ for id_ in ids if id_ in self.products or id_ in self._layers)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not _tensors(result) and func is not torch.Tensor.__setitem__:  # a shape or another property is no use
            return result
        self.use((args, kwargs))
        operation = OPERATIONS.get(func)
        if operation is not None:
            position, keyword = operation.operands[1]
            weight = args[position] if position < len(args) else kwargs.get(keyword)
            path = self._layers.get(id(weight))
            if path is not None and result.ndim == weight.ndim:  # so that its axis 1 has one index per output channel
                self.products[id(result)] = (path, result)
        return result


def _tensors(value: Any) -> list[torch.Tensor]:
    return [tensor for _, tensor in leaves(value)]
