"""Clipped GELU and Swish (Appendix D, Table 12): outputs above a limit become the limit, in the network itself.

Which they are is found by running the network: modules by the name of their class (`nn.GELU`, `nn.SiLU`, and those of
libraries that write the formula out), and calls of `F.gelu` and `F.silu` by what is called. A Swish that a network's
own code writes out as `x * sigmoid(x)`, outside of a module called Swish, is not met.
"""

import copy
import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from qanalysis.nn.structure import mapped

#: What computes them, and what they are called in the paper.
_FUNCTIONS: dict[Callable[..., Any], str] = {
    functional.gelu: "GELU",
    functional.silu: "Swish",
    torch._C._nn.silu: "Swish",
    torch._C._nn.silu_: "Swish",
}
_GELU, _SWISH = re.compile("gelu", re.IGNORECASE), re.compile("silu|(?<!hard)swish", re.IGNORECASE)
#: Whether a clipped network, or a clipped activation, is running: what runs within is clipped by it.
_running: ContextVar[bool] = ContextVar("running", default=False)
_activating: ContextVar[bool] = ContextVar("activating", default=False)


def clipped(model: nn.Module, limit: float) -> nn.Module:
    """A copy of a network, with the same parameters and buffers, whose GELU and Swish give at most `limit`.

    Args:
        model: the network; it is not changed.
        limit: the largest output, in the unit of the activation; 10 is the paper's GELU10.
    """
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    copied = copy.deepcopy(model, shared)
    for module in list(copied.modules()):
        if _kind(module):
            _refine(module, lambda forward: _cut_outputs(forward, limit))
    for module in (copied, *copied.children()):  # a part may be called by itself, as encoders are in generation
        if not _kind(module):
            _refine(module, lambda forward: _cut_functions(forward, limit))
    return copied


@contextmanager
def met(model: nn.Module) -> Iterator[set[str]]:
    """Which of GELU and Swish are met while the network runs; the set is filled as it does."""
    kinds: set[str] = set()

    def note(module: nn.Module, args: Any) -> None:
        kinds.add(_kind(module))

    hooks = [module.register_forward_pre_hook(note) for module in model.modules() if _kind(module)]
    try:
        with _Met(kinds):
            yield kinds
    finally:
        for hook in hooks:
            hook.remove()


def _kind(module: nn.Module) -> str:
    """GELU or Swish for a module that is one, and nothing for others."""
    name = type(module).__name__
    kind = "GELU" if _GELU.search(name) else "Swish" if _SWISH.search(name) else ""
    return kind if kind and not any(True for _ in module.parameters()) else ""


def _refine(module: nn.Module, change: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Gives one module a class of its own, the same but for its forward: it can be copied like any other."""
    cls = type(module)
    forward = functools.wraps(cls.forward)(change(cls.forward))
    module.__class__ = type(cls.__name__, (cls,), {"forward": forward, "__module__": cls.__module__})


def _cut_outputs(forward: Callable[..., Any], limit: float) -> Callable[..., Any]:
    def refined(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        token = _activating.set(True)
        try:
            output = forward(self, *args, **kwargs)
        finally:
            _activating.reset(token)
        return mapped(lambda tensor: tensor.clamp(max=limit), output)

    return refined


def _cut_functions(forward: Callable[..., Any], limit: float) -> Callable[..., Any]:
    def refined(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if _running.get():
            return forward(self, *args, **kwargs)
        token = _running.set(True)
        try:
            with _Cut(limit):
                return forward(self, *args, **kwargs)
        finally:
            _running.reset(token)

    return refined


class _Cut(TorchFunctionMode):
    """Clips what GELU and Swish give as functions; those within an activation module are clipped there."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self._limit = limit

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func not in _FUNCTIONS or _activating.get():
            return output
        if args and output is args[0]:  # in place
            return output.clamp_(max=self._limit)
        return output.clamp(max=self._limit)


class _Met(TorchFunctionMode):
    """Notes GELU and Swish as functions."""

    def __init__(self, kinds: set[str]) -> None:
        super().__init__()
        self._kinds = kinds

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _FUNCTIONS:
            self._kinds.add(_FUNCTIONS[func])
        return func(*args, **(kwargs or {}))
