"""Compiled functions: C that makes one pass over memory where PyTorch's operations make several, if it was compiled."""

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Protocol

import torch

_POINTER, _SIZE, _FLOAT, _THREADS = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_int


class Compiled(Protocol):
    """A function of C, called with addresses and numbers."""

    def __call__(self, *arguments: float) -> Any:
        """What it returns, if anything."""
        ...


def load(module: str, name: str, arguments: Sequence[Any], result: Any = None) -> Compiled | None:
    """A function of a compiled module; None where it was not compiled, or PyTorch uses another OpenMP.

    Args:
        module: name of the extension module.
        name: of the function.
        arguments: types of its arguments, of `ctypes`.
        result: type of what it returns; None for nothing.
    """
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return None
    try:
        function = getattr(ctypes.CDLL(spec.origin), name)
    except (OSError, AttributeError):  # a symbol of OpenMP is missing, or the file is of another version
        return None
    function.argtypes, function.restype = list(arguments), result
    found: Compiled = function
    return found


def dense(*tensors: torch.Tensor) -> bool:
    """Whether tensors are float32 on the CPU, of one shape, and lie in memory alike without gaps."""
    first = tensors[0]
    if not (first.is_contiguous() or first.is_contiguous(memory_format=_layout(first))):
        return False
    return all(
        one.device.type == "cpu"
        and one.dtype == torch.float32
        and one.layout == torch.strided
        and one.shape == first.shape
        and one.stride() == first.stride()
        and not one.is_neg()
        for one in tensors
    )


def fake_quantized(
    x: torch.Tensor, scale: float, zero_point: float, codes: tuple[float, float], step: float
) -> torch.Tensor | None:
    """`(clip(round(scale x) + z) - z) step` in one pass; None where the tensor or the installation does not allow it.

    Args:
        x: any shape.
        scale: 1 / step.
        zero_point: z.
        codes: smallest and largest code.
        step: width of a code.
    """
    function = _fake_quantize()
    if function is None or not dense(x):
        return None
    y = torch.empty_like(x)
    function(x.data_ptr(), y.data_ptr(), x.numel(), scale, zero_point, *codes, step, torch.get_num_threads())
    return y


def clipped_gradient(gradient: torch.Tensor, x: torch.Tensor, edge: float) -> tuple[torch.Tensor, float] | None:
    """The gradient where `|x| < edge`, 0 elsewhere, and the sum of the rest, counted negative where `x <= -edge`.

    None where the tensors or the installation do not allow it.
    """
    function = _clip_gradient()
    if function is None or not dense(x, gradient):
        return None
    to_x = torch.empty_like(x)
    rest = function(gradient.data_ptr(), x.data_ptr(), to_x.data_ptr(), x.numel(), edge, torch.get_num_threads())
    return to_x, float(rest)


@lru_cache(maxsize=1)
def _fake_quantize() -> Compiled | None:
    arguments = [_POINTER, _POINTER, _SIZE, *[_FLOAT] * 5, _THREADS]
    return load("qanalysis.kernels._rounding", "qanalysis_fake_quantize", arguments)


@lru_cache(maxsize=1)
def _clip_gradient() -> Compiled | None:
    arguments = [_POINTER, _POINTER, _POINTER, _SIZE, _FLOAT, _THREADS]
    return load("qanalysis.kernels._rounding", "qanalysis_clip_gradient", arguments, ctypes.c_double)


def _layout(x: torch.Tensor) -> torch.memory_format:
    """The other layout without gaps that tensors of this shape may have."""
    return {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.ndim, torch.contiguous_format)
