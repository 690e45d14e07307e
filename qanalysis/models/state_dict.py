"""State dicts: the tensors in a checkpoint file, whatever they are wrapped in, and which of them a network takes.

Nothing in a file is executed: PyTorch files are read with `weights_only=True`.
"""

import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from qanalysis.schema.errors import UserError

#: Keys under which training scripts keep the weights, the usual first; of several, the first that is there is taken.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights")
#: Counters that profilers and averages leave beside weights; they are no part of the network.
_COUNTERS = ("total_ops", "total_params", "n_averaged", "num_batches_tracked")
_DEEPEST = 8


@dataclass(frozen=True)
class Found:
    """The state dict that was taken from a file.

    Attributes:
        tensors: by name.
        key: where it lay in the file; empty if the file is nothing else.
        others: keys of other state dicts that could have been taken.
    """

    tensors: dict[str, torch.Tensor]
    key: str = ""
    others: tuple[str, ...] = ()


def read_state_dict(path: Path, key: str | None = None) -> Found:
    """Reads the tensors of a checkpoint.

    Args:
        path: a safetensors or PyTorch file.
        key: which of several state dicts, e.g. `model_ema`, with dots for dictionaries within others.

    Raises:
        UserError: with one sentence, if the file is corrupt, holds no tensors, or has nothing under the key.
    """
    content = _content(path)
    states = _state_dicts(content)
    if not states:
        raise UserError(f"{_name(path)} holds no state dict: a dictionary of tensors is expected.")
    names = [where for where, _ in states]
    if key is not None:
        chosen = next((state for where, state in states if where == key), None)
        if chosen is None:
            there = ", ".join(where or "the file itself" for where in names[:6])
            raise UserError(f"{_name(path)} has no state dict under the key {key[:60]!r}; there is {there}.")
        return Found(chosen, key)
    where, state = min(states, key=lambda entry: _rank(entry[0]))
    return Found(state, where, tuple(other for other in names if other != where))


def fitted(
    found: Found, expected: Mapping[str, torch.Tensor], misfit: str
) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """The tensors of a network out of a state dict, in the network's types, and what to tell about them.

    Names may have one common prefix more than the network's (`module.`, `model.`, `_orig_mod.`).

    Args:
        found: what the file holds.
        expected: the network's own state dict.
        misfit: how a sentence about what does not fit begins.

    Raises:
        UserError: naming the first tensor that is missing, has another shape, or numbers that are not real.
    """
    state, prefix, beside = _without_prefix(found.tensors, expected)
    taken: dict[str, torch.Tensor] = {}
    cast: set[str] = set()
    for key, tensor in expected.items():
        value = state.get(key)
        if value is None:
            if key.endswith("num_batches_tracked"):
                taken[key] = tensor
                continue
            raise UserError(f"{misfit}: {key} is missing in the file{_hint(state)}.")
        if value.shape != tensor.shape:
            have, want = tuple(value.shape), tuple(tensor.shape)
            head = " (write ?classes= for another number of classes)" if have[1:] == want[1:] and have else ""
            raise UserError(f"{misfit}: {key} has shape {have}, expected {want}{head}.")
        if value.dtype != tensor.dtype:
            kind = str(value.dtype).removeprefix("torch.")
            if tensor.is_floating_point() and value.dtype not in (torch.float16, torch.bfloat16, torch.float64):
                raise UserError(f"{misfit}: {key} is of type {kind}, and such weights are not cast; save float32.")
            if value.is_floating_point() and not tensor.is_floating_point():
                raise UserError(f"{misfit}: {key} is of type {kind}, but whole numbers are expected.")
            if value.is_floating_point():
                cast.add(kind)
        taken[key] = value.to(tensor.dtype)
    left = [key for key in state if key not in expected and not key.endswith(_COUNTERS)]
    if left:
        raise UserError(f"{misfit}: it also holds {left[0]}, which is unknown there.")
    return taken, _notes(found, prefix, beside, cast)


def _notes(found: Found, prefix: str, beside: list[str], cast: set[str]) -> tuple[str, ...]:
    notes = []
    if found.others:
        others = ", ".join(other or "the file itself" for other in found.others[:4])
        notes.append(
            f"Of several state dicts in the checkpoint, that under {found.key or 'no key'!r} was taken; there is also "
            f"{others} (?key=…)."
        )
    if prefix:
        count = "one tensor" if len(beside) == 1 else f"{len(beside)} tensors"
        others = f"; {count} beside them left, first {beside[0]}" if beside else ""
        notes.append(f"Weights were taken from the names that begin with {prefix!r} in the checkpoint{others}.")
    if cast:
        notes.append(f"Weights were cast from {' and '.join(sorted(cast))} to float32.")
    return tuple(notes)


def _content(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.name.endswith(".index.json"):
            raise UserError(f"{_name(path)} is the index of a sharded checkpoint: merge its shards into one file.")
        with warnings.catch_warnings():  # about the file's pickle protocol: whether it can be read is seen below
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except pickle.UnpicklingError:
        raise UserError(
            f"{_name(path)} is corrupt or holds pickled code, which is not executed; save the state dict alone: "
            "torch.save(model.state_dict(), path), or safetensors."
        ) from None
    except Exception as error:  # what a damaged file makes of the reader can be anything, e.g. IndexError
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")[:120]
        raise UserError(f"{_name(path)} is corrupt or not a checkpoint ({reason}).") from None


def _state_dicts(content: Any, where: str = "", depth: int = 0) -> list[tuple[str, dict[str, torch.Tensor]]]:
    """All dictionaries of tensors in a file, with where they lie."""
    if not isinstance(content, Mapping) or depth > _DEEPEST:
        return []
    tensors = {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}
    found = []
    if any(value.ndim > 0 for value in tensors.values()):
        found.append((where, tensors))
    for key, value in content.items():
        if str(key) not in ("optimizer", "optimizer_state_dict", "optimizer_states", "lr_scheduler", "scaler"):
            found += _state_dicts(value, f"{where}.{key}" if where else str(key), depth + 1)
    return found


def _rank(where: str) -> tuple[int, int]:
    last = where.rpartition(".")[2]
    return (_WRAPPERS.index(last) if last in _WRAPPERS else (-1 if not where else len(_WRAPPERS)), where.count("."))


def _without_prefix(
    state: dict[str, torch.Tensor], expected: Mapping[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], str, list[str]]:
    """The state under the network's names, the prefix that was taken off, and what lies beside it."""
    wanted = [key for key in expected if not key.endswith(_COUNTERS)]
    if not wanted or all(key in state for key in wanted):
        return state, "", []
    first = wanted[0]
    prefixes = sorted((key.removesuffix(first) for key in state if key.endswith(f".{first}")), key=len)
    for prefix in prefixes:
        if all(f"{prefix}{key}" in state for key in wanted):
            inside = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            beside = [key for key in state if not key.startswith(prefix) and not key.endswith(_COUNTERS)]
            return inside, prefix, beside
    return state, "", []


def _hint(state: Mapping[str, torch.Tensor]) -> str:
    first = next(iter(state), "")
    return f", whose first tensor is {first[:60]}" if first else ""


def _name(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 120 else f"…{text[-119:]}"
