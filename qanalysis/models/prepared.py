"""Prepared: a user's module as the analyses need it: unwrapped, in float32, with weights that are there."""

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from qanalysis.schema.errors import UserError

_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def prepared(module: nn.Module, name: str) -> tuple[nn.Module, tuple[str, ...]]:
    """The module within wrappers for training and compilation, in float32 and evaluation mode, and what to tell of it.

    Raises:
        UserError: if its weights are not there (lazy, on the meta device), not dense, or not finite.
    """
    notes: list[str] = []
    module = _unwrapped(module)
    if any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()):
        raise UserError(
            f"{name} is TorchScript, which has no Python in which layers can be met; give the module it was made from."
        )
    for key, tensor in _tensors(module):
        if is_lazy(tensor):
            raise UserError(f"{name}: {key} has no shape yet (a lazy module); run one batch through it in its factory.")
        if tensor.is_meta:
            raise UserError(f"{name}: {key} is on the meta device and has no values; load its weights first.")
        if tensor.layout != torch.strided:
            raise UserError(f"{name}: {key} is sparse ({tensor.layout}); make it dense first: tensor.to_dense().")
        if tensor.is_quantized:
            raise UserError(f"{name}: {key} is quantized already; give the floating-point network.")
    other = sorted({str(t.dtype).removeprefix("torch.") for _, t in _tensors(module) if _is_other(t)})
    if other:
        module = module.float()
        notes.append(f"The network was cast from {' and '.join(other)} to float32.")
    try:
        module.eval()
    except NotImplementedError:  # as exported programs answer
        raise UserError(f"{name} is an exported program; give the module that it was made from.") from None
    for key, tensor in _tensors(module):
        if (tensor.is_floating_point() or tensor.is_complex()) and not torch.isfinite(tensor).all():
            bad = int((~torch.isfinite(tensor)).sum())
            raise UserError(f"{name}: weights must be finite, but {key} holds {bad} NaN or infinite values.")
    return module, tuple(notes)


def in_channels_last(module: nn.Module) -> nn.Module:
    """The same module, its 4-D weights in channels_last layout, which convolutions of images run faster in."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return module


def _tensors(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]


def _is_other(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and tensor.dtype != torch.float32


def _unwrapped(module: nn.Module) -> nn.Module:
    """Without `torch.compile` and wrappers of parallel training, anywhere in the module."""
    while True:
        inner = dict(module.named_children()).get("_orig_mod")
        if inner is None and isinstance(module, _PARALLEL):
            inner = module.module
        if inner is None:
            break
        module = inner
    for part in list(module.modules()):
        if getattr(part, "_compiled_call_impl", None) is not None:
            part._compiled_call_impl = None
        for key, child in part._modules.items():
            if child is not None and (bare := _unwrapped(child) if _is_wrapper(child) else child) is not child:
                part._modules[key] = bare
    return module


def _is_wrapper(module: nn.Module) -> bool:
    return "_orig_mod" in dict(module.named_children()) or isinstance(
        module, nn.DataParallel | nn.parallel.DistributedDataParallel
    )
