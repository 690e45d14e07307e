"""Uncovered work: whatever multiplies and is no site, met where PyTorch dispatches its operators.

`SiteMode` meets functions by name; what is spelled otherwise (TorchScript, a custom operator) would pass it by without
a word. Every operator passes here, so that nothing that multiplies goes unreported.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from qanalysis.nn.sites import SiteMode

_aten = torch.ops.aten
#: Operators that multiply and that PyTorch's own counter of operations does not know.
_VECTORS = {_aten.mv, _aten.addmv, _aten.dot, _aten.vdot}
#: Operators outside of PyTorch's core that multiply little: they choose or interpolate.
_LIGHT = {"torchvision::nms", "torchvision::roi_align", "torchvision::roi_pool", "torchvision::ps_roi_align"}
_CORE = ("aten", "prims", "prim", "profiler", "inductor", "rngprims", "debugprims", "fsdp", "c10d", "_c10d_functional")
_NOT_A_SITE = "it is met as an operator only, so its operands cannot be quantized"
#: Told of the module's path, the operation, the reason and multiply-accumulates of the whole batch.
Tell = Callable[[str, str, str, int], None]


class UncoveredMode(TorchDispatchMode):
    """While active inside a `SiteMode`, tells of every operator that multiplies outside of a site."""

    supports_higher_order_operators = True

    def __init__(self, sites: SiteMode, tell: Tell) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._sites = sites
        self._tell = tell

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs the operator and counts it."""
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if self._sites.busy:
            return output
        macs = multiply_accumulates(func, args, kwargs, output)
        if macs is not None:
            operation = func._schema.name.partition("::")[2] if hasattr(func, "_schema") else func.name()
            met = (self._sites.path, operation.removeprefix("_"), _reason(func, args))
            module, operation, reason = self._sites.uncovered or met
            self._tell(module, operation, reason, macs)
        return output


def multiply_accumulates(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> int | None:
    """Multiply-accumulates of one operator; 0 where it may multiply but tells nobody; None where it does not."""
    if not isinstance(func, torch._ops.OpOverload):  # a higher-order one, such as flex_attention
        if "attention" not in func.name():
            return None
        query, key, value = args[:3]  # (N, heads, T, width)
        return int(query.numel() * key.shape[-2] + query.shape[:-1].numel() * value.shape[-2:].numel())
    tensors = [argument for argument in args if isinstance(argument, torch.Tensor)]
    if tensors and not any(tensor.is_floating_point() or tensor.is_complex() for tensor in tensors):
        return None  # integers need no quantization
    packet = func._overloadpacket
    if packet in flop_registry:
        try:
            return int(flop_registry[packet](*args, **kwargs, out_val=output)) // 2
        except (AssertionError, TypeError, ValueError, IndexError):  # shapes that the formula was not written for
            return 0
    if packet in _VECTORS:
        return max(tensor.numel() for tensor in tensors)
    name = func._schema.name
    if name == "aten::mkldnn_rnn_layer":
        rows, weights = args[0], args[1:5]
        return int(rows.shape[0] * rows.shape[1] * sum(w.numel() for w in weights if w.ndim > 1))
    if name == "aten::_trilinear":
        shapes = (_expanded(tensor, where) for tensor, where in zip(args[:3], args[3:6], strict=True))
        return int(torch.broadcast_shapes(*shapes).numel())
    if "deform_conv" in name:
        return int(output.numel() * args[1][0].numel())
    if name.partition("::")[0] in _CORE or name in _LIGHT:
        return None
    return 0


def _expanded(tensor: torch.Tensor, dimensions: list[int]) -> torch.Size:
    for dimension in dimensions:
        tensor = tensor.unsqueeze(dimension)
    return tensor.shape


def _reason(func: Any, args: tuple[Any, ...]) -> str:
    tensors = [argument for argument in args if isinstance(argument, torch.Tensor)]
    if any(tensor.is_complex() for tensor in tensors):
        return "complex numbers are not quantized"
    if isinstance(func, torch._ops.OpOverload):
        namespace = func._schema.name.partition("::")[0]
        if namespace.startswith("quantized"):
            return "it is quantized already"
        if "deform_conv" in func._schema.name:
            return "this function is not covered"
        if namespace not in _CORE:
            return "an operator of another library: whether it multiplies cannot be seen"
    return _NOT_A_SITE
