"""Cut: the part of a network that goes into a file, and how its outputs become what the whole network returns.

A file is a fixed graph from named tensors to named tensors. Most networks are cut nowhere. What chooses (non-maximum
suppression, boxes that a first stage proposes) has no place in such a graph and is left to PyTorch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from qanalysis.nn.structure import CallModel, Inputs, leaves
from qanalysis.schema.errors import UserError

#: What the only input of a network is called in a file.
INPUT = "input"
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Cut:
    """What is in a file.

    Attributes:
        inputs: from a model and its inputs to the file's inputs, samples first.
        call: from a model and the file's inputs to the file's outputs, samples first; what is traced.
        finish: from a model, the file's outputs and the inputs to what `Task.measured` gives for that model.
        note: what is not in the file, and why, as a sentence; empty if everything is.
    """

    inputs: Callable[[nn.Module, Inputs], Tensors]
    call: Callable[[Callable[..., Any], Tensors], Tensors]
    finish: Callable[[nn.Module, Tensors, Inputs], Any]
    note: str = ""


def uncut(call: CallModel, example: Inputs, named: Callable[[Any], Tensors]) -> Cut:
    """Everything in the file.

    Args:
        call: how the model is run.
        example: inputs of one batch, whose structure all have.
        named: names for the outputs of real numbers.

    Raises:
        UserError: if inputs are ragged.
    """
    if isinstance(example, list):
        raise UserError("A network that takes a list of samples cannot be in a file as a whole.")
    names = _names(example)

    def inputs(model: nn.Module, given: Inputs) -> Tensors:
        return dict(zip(names, (tensor for _, tensor in leaves(given)), strict=True))

    def run(model: Callable[..., Any], given: Tensors) -> Tensors:
        return named(call(model, _filled(example, iter(given.values()))))

    def finish(model: nn.Module, outputs: Tensors, given: Inputs) -> Any:
        return outputs

    return Cut(inputs, run, finish)


def by_leaf(raw: Any) -> Tensors:
    """Names for the outputs of real numbers: their keys where they have some, else `output`, `output_1`, …"""
    named: Tensors = {}
    for key, tensor in leaves(raw):
        if tensor.is_floating_point():
            named[_free(key or "output", named)] = tensor
    return named


def _names(example: Inputs) -> list[str]:
    found: dict[str, None] = {}
    for key, _ in leaves(example):
        found[_free(key or INPUT, found)] = None
    return list(found)


def _free(name: str, taken: Mapping[str, Any]) -> str:
    number, candidate = 0, name
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def _filled(example: Inputs, values: Any) -> Any:
    """The example's structure around other tensors, in the order of `leaves`."""
    if isinstance(example, torch.Tensor):
        return next(values)
    if isinstance(example, Mapping):
        return {key: _filled(entry, values) for key, entry in example.items()}
    if isinstance(example, tuple) and hasattr(example, "_fields"):
        return type(example)(*(_filled(entry, values) for entry in example))
    if isinstance(example, tuple | list):
        return type(example)(_filled(entry, values) for entry in example)
    return example
