"""Structure: inputs and outputs of networks that are more than one tensor.

A tensor is one argument; a tuple is several, a mapping several by name. A list is one argument of ragged samples, an
element each, as detectors take images. In everything else samples are the first axis of every tensor.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch

Inputs = Any
#: Runs a model on inputs.
CallModel = Callable[[Callable[..., Any], Inputs], Any]


def call_model(model: Callable[..., Any], inputs: Inputs) -> Any:
    """What the model returns: a mapping is given as keywords, a tuple as positions, anything else as one argument."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    if isinstance(inputs, tuple):
        return model(*inputs)
    return model(inputs)


def count(inputs: Inputs) -> int:
    """Number of samples."""
    if isinstance(inputs, list):
        return len(inputs)
    for _, tensor in leaves(inputs):
        if tensor.ndim:
            return len(tensor)
    return 1


def mapped(change: Callable[[torch.Tensor], Any], value: Any) -> Any:
    """The same structure with every tensor changed; what is no tensor stays."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: mapped(change, entry) for key, entry in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(mapped(change, entry) for entry in value))
    if isinstance(value, list | tuple):
        return type(value)(mapped(change, entry) for entry in value)
    return value


def part(value: Any, chosen: slice) -> Any:
    """Some of the samples of inputs or targets."""
    if isinstance(value, list):
        return value[chosen]
    return mapped(lambda tensor: tensor[chosen] if tensor.ndim else tensor, value)


def parts(value: Any, size: int) -> list[Any]:
    """Inputs or targets in pieces of so many samples."""
    return [part(value, slice(start, start + size)) for start in range(0, count(value), size)]


def joined(values: Iterable[Any]) -> Any:
    """Inputs or targets of several pieces one after the other: the inverse of `parts`.

    Raises:
        RuntimeError: if shapes other than the number of samples differ.
    """
    pieces = list(values)
    first = pieces[0]
    if isinstance(first, torch.Tensor):
        return torch.cat(pieces) if first.ndim else first
    if isinstance(first, Mapping):
        return {key: joined(piece[key] for piece in pieces) for key in first}
    if isinstance(first, list):
        return [sample for piece in pieces for sample in piece]
    if isinstance(first, tuple):
        return tuple(joined(entries) for entries in zip(*pieces, strict=True))
    return first


def on(value: Any, device: torch.device | str) -> Any:
    """Tensors on a device."""
    return mapped(lambda tensor: tensor.to(device, non_blocking=True), value)


def in_channels_last(value: Any) -> Any:
    """Batches of images `(N, C, H, W)` in channels_last layout; everything else as it is."""

    def change(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.ndim == 4 and tensor.is_floating_point():
            return tensor.contiguous(memory_format=torch.channels_last)
        return tensor

    return mapped(change, value)


def shapes(value: Any) -> str:
    """Names and shapes of the tensors, for a sentence."""
    found = leaves(value)
    if not found:
        return f"{type(value).__name__} without a tensor"
    said = ", ".join(f"{f'{name} ' if name else ''}{tuple(tensor.shape)}" for name, tensor in found[:4])
    return f"{said}{', …' if len(found) > 4 else ''}"


def leaves(value: Any, name: str = "") -> list[tuple[str, torch.Tensor]]:
    """All tensors in order, each with the key or field that it is under; without one, under ''."""
    if isinstance(value, torch.Tensor):
        return [(name, value)]
    if isinstance(value, Mapping):
        return [leaf for key, entry in value.items() for leaf in leaves(entry, str(key))]
    if is_dataclass(value) and not isinstance(value, type):
        return [leaf for field in fields(value) for leaf in leaves(getattr(value, field.name), field.name)]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        pairs = zip(value._fields, value, strict=True)
        return [leaf for key, entry in pairs for leaf in leaves(entry, key)]
    if isinstance(value, list | tuple):
        return [leaf for entry in value for leaf in leaves(entry, name)]
    return []


def float_tensors(value: Any) -> tuple[torch.Tensor, ...]:
    """The tensors of real numbers, in order."""
    return tuple(tensor for _, tensor in leaves(value) if tensor.is_floating_point())
