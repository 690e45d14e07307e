"""Whole: layers that a file keeps in one piece, in floating point, though their products are sites of the network.

A graph has an operator for an LSTM or GRU over a sequence. Its products could be in int8 only if it was written out,
with the nodes of a step as often as there are steps. A cell that the network's own code calls step by step is written
out in any file, and so is what the exporter has no operator for: an RNN, and an LSTM with a projection.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from qanalysis.nn import recurrent
from qanalysis.nn.sites import Call, SiteMode
from qanalysis.tasks.cut import Cut, Tensors

_OPERATORS: dict[Callable[..., Any], str] = {torch.lstm: "LSTM", torch.gru: "GRU"}


def in_one_piece(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call of a recurrent function is one operator in a file."""
    return function in _OPERATORS and not recurrent.is_projected(args, kwargs)


@torch.no_grad()
def kept_whole(module: nn.Module, cut: Cut, example: Tensors) -> dict[str, str]:
    """Sites within layers that a file keeps in one piece, each with the reason why it is in floating point there.

    Args:
        module: the network.
        cut: what of it is in the file.
        example: the file's inputs.
    """
    mode = _Kinds(module)
    with mode:
        cut.call(module, example)
    return {
        site: f"{kind} stays in floating point in the file, where it is one operator: written out, its products would "
        "be there once for every time step"
        for site, kind in mode.found.items()
    }


class _Kinds(SiteMode):
    """Notes the sites within recurrent layers that are kept in one piece."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model, self._note)
        self.found: dict[str, str] = {}
        self._kind: str | None = None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if not in_one_piece(func, args, kwargs or {}):
            return super().__torch_function__(func, types, args, kwargs)
        self._kind = _OPERATORS[func]
        try:
            return super().__torch_function__(func, types, args, kwargs)
        finally:
            self._kind = None

    def _note(self, call: Call) -> torch.Tensor:
        if self._kind is not None:
            self.found[call.site] = self._kind
        return call.compute()


class _Packing(TorchFunctionMode):
    """Notes whether sequences are packed."""

    met = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.met = self.met or func is torch._VF._pack_padded_sequence
        return func(*args, **(kwargs or {}))


def packs(module: nn.Module, cut: Cut, given: Tensors) -> bool:
    """Whether a network packs sequences of different lengths, whose shapes no file can follow."""
    with _Packing() as mode:
        cut.call(module, given)
    return bool(mode.met)
