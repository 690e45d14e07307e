"""State dicts: the tensors in a checkpoint file, whatever they are wrapped in, and which of them a network takes.

Nothing in a file is executed: PyTorch files are read with `weights_only=True`.
"""

import pickle
import warnings
from collections.abc import Mapping, Sequence
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
class StateDict:
    """Tensors of one network in a file.

    Attributes:
        key: where they lie, as `?key=` names it: dictionaries within others and a prefix of the names, with dots
            between; empty if the file is nothing else.
        tensors: by name, without the prefix.
        prefix: what was taken off the names, with its dot.
        beside: names of other tensors of that dictionary.
    """

    key: str
    tensors: dict[str, torch.Tensor]
    prefix: str = ""
    beside: tuple[str, ...] = ()


def read_state_dicts(path: Path) -> list[StateDict]:
    """All dictionaries of tensors in a checkpoint.

    Args:
        path: a safetensors or PyTorch file.

    Raises:
        UserError: with one sentence, if the file is corrupt, or holds none.
    """
    states = [StateDict(where, tensors) for where, tensors in _state_dicts(_content(path))]
    if not states:
        raise UserError(f"{_name(path)} holds no state dict: a dictionary of tensors is expected.")
    return states


def fitted(
    states: Sequence[StateDict],
    expected: Mapping[str, torch.Tensor],
    file: str,
    architecture: str,
    key: str | None = None,
) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """The tensors of a network out of a checkpoint, in the network's types, and what to tell about them.

    Names may have one common prefix more than the network's (`module.`, `model.`, `_orig_mod.`). Of several that fit
    the one under the usual name of trained weights is taken.

    Args:
        states: what the file holds.
        expected: the network's own state dict.
        file: its name, for sentences.
        architecture: the network's, likewise.
        key: which of several to take, e.g. `model_ema`.

    Raises:
        UserError: if several fit and none is the usual one; or naming the first tensor that is missing, has another
            shape or no values, or numbers that are not real.
    """
    misfit = f"{file} does not fit {architecture}"
    state, others = _chosen(states, expected, file, architecture, key)
    taken: dict[str, torch.Tensor] = {}
    cast: set[str] = set()
    for name, tensor in expected.items():
        value = state.tensors.get(name)
        if value is None:
            if name.endswith("num_batches_tracked"):
                taken[name] = tensor
                continue
            raise UserError(f"{misfit}: {name} is missing in the file{_hint(state.tensors)}.")
        if value.shape != tensor.shape:
            have, want = tuple(value.shape), tuple(tensor.shape)
            head = " (write ?classes= for another number of classes)" if have[1:] == want[1:] and have else ""
            raise UserError(f"{misfit}: {name} has shape {have}, expected {want}{head}.")
        if value.is_meta:
            raise UserError(f"{misfit}: {name} has no values (device meta); save a network that has some.")
        if value.layout != torch.strided:
            raise UserError(f"{misfit}: {name} is a sparse tensor; save it dense: tensor.to_dense().")
        if value.dtype != tensor.dtype:
            kind = str(value.dtype).removeprefix("torch.")
            if tensor.is_floating_point() and value.dtype not in (torch.float16, torch.bfloat16, torch.float64):
                raise UserError(f"{misfit}: {name} is of type {kind}, and such weights are not cast; save float32.")
            if value.is_floating_point() and not tensor.is_floating_point():
                raise UserError(f"{misfit}: {name} is of type {kind}, but whole numbers are expected.")
            if value.is_floating_point():
                cast.add(kind)
        taken[name] = value.to(tensor.dtype)
    left = [name for name in state.tensors if name not in expected and not name.endswith(_COUNTERS)]
    unknown = next((name for name in left if "." in name), None)
    if unknown is not None:
        raise UserError(f"{misfit}: it also holds {unknown}, which is unknown there.")
    return taken, _notes(state, others, (*left, *state.beside), cast)


def _chosen(
    states: Sequence[StateDict], expected: Mapping[str, torch.Tensor], file: str, architecture: str, key: str | None
) -> tuple[StateDict, tuple[str, ...]]:
    """The state dict to take, and the keys of others that fit as well; one that does not fit where none does."""
    fitting = [inner for state in states for inner in _within(state, expected)]
    if key is not None:
        named = [state for state in (*fitting, *states) if state.key == key]
        if not named:
            there = ", ".join(dict.fromkeys(state.key or "the file itself" for state in (*fitting, *states)[:6]))
            raise UserError(f"{file} has no state dict under the key {key[:60]!r}; there is {there}.")
        return named[0], ()
    if not fitting:
        return min(states, key=lambda state: _rank(state.key)), ()
    fitting.sort(key=lambda state: _rank(state.key))
    first, *rest = fitting
    same = [state for state in rest if _rank(state.key) == _rank(first.key)]
    if same:
        keys = [state.key for state in (first, *same)]
        raise UserError(
            f"{file} holds several networks that fit {architecture}: {', '.join(keys[:4])}; choose one, ?key={keys[0]}."
        )
    return first, tuple(state.key for state in rest)


def _within(state: StateDict, expected: Mapping[str, torch.Tensor]) -> list[StateDict]:
    """The networks with these names in a dictionary of tensors: as they are, or behind a prefix."""
    wanted = [name for name in expected if not name.endswith(_COUNTERS)]
    if not wanted or all(name in state.tensors for name in wanted):
        return [state]
    found = []
    for prefix in (name.removesuffix(wanted[0]) for name in state.tensors if name.endswith(f".{wanted[0]}")):
        if all(f"{prefix}{name}" in state.tensors for name in wanted):
            inside = {name.removeprefix(prefix): x for name, x in state.tensors.items() if name.startswith(prefix)}
            beside = [name for name in state.tensors if not name.startswith(prefix) and not name.endswith(_COUNTERS)]
            key = ".".join(part for part in (state.key, prefix.removesuffix(".")) if part)
            found.append(StateDict(key, inside, prefix, tuple(beside)))
    return found


def _notes(state: StateDict, others: tuple[str, ...], beside: tuple[str, ...], cast: set[str]) -> tuple[str, ...]:
    notes = []
    if others:
        there = ", ".join(other or "the file itself" for other in others[:4])
        notes.append(
            f"Of several state dicts in the checkpoint, that under {state.key or 'no key'!r} was taken; there is also "
            f"{there} (?key=…)."
        )
    left = f"{'one tensor' if len(beside) == 1 else f'{len(beside)} tensors'} beside them left" if beside else ""
    if state.prefix:
        more = f"; {left}, first {beside[0]}" if beside else ""
        notes.append(f"Weights were taken from the names that begin with {state.prefix!r} in the checkpoint{more}.")
    elif beside:
        notes.append(f"The checkpoint's weights were taken, and {left}, first {beside[0]}.")
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


def _rank(key: str) -> tuple[int, int]:
    """The usual names of trained weights come first, then what lies least deep."""
    parts = key.split(".") if key else []
    unusual = [part for part in parts if part not in _WRAPPERS and part != "_orig_mod"]
    usual = min((_WRAPPERS.index(part) for part in parts if part in _WRAPPERS), default=-1)
    return (len(_WRAPPERS) + len(unusual) if unusual else usual, len(parts))


def _hint(state: Mapping[str, torch.Tensor]) -> str:
    first = next(iter(state), "")
    return f", whose first tensor is {first[:60]}" if first else ""


def _name(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 120 else f"…{text[-119:]}"
