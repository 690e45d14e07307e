"""`checkpoint:PATH?arch=NAME`: a user's state dict on a named architecture. Nothing in the file is ever executed.

A checkpoint that quantization-aware training wrote says itself what it is of: `checkpoint:PATH`.
"""

import pickle
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from qanalysis.models.loaded import LoadedModel
from qanalysis.names import LIBRARIES, Name
from qanalysis.nn.fold import fold_batch_norm
from qanalysis.schema import paths
from qanalysis.schema.errors import UserError
from qanalysis.schema.trained import TrainedQuantization, read


def load(name: Name, load_model: Callable[[str], LoadedModel]) -> LoadedModel:
    """Loads a safetensors or (with `weights_only=True`) PyTorch file into the architecture of option `arch`.

    A QAT checkpoint needs no option; it brings the plan and the ranges that it was trained with.

    Raises:
        ValueError: for a missing, corrupt or unsafe file, or if a tensor does not fit (the first one is named).
    """
    name.only("arch", "classes")
    path = paths.checked(name.rest)
    trained = read(path)
    if "arch" not in name.options and trained is None and path.suffix != ".safetensors":
        raise UserError("checkpoint: names say the architecture: checkpoint:PATH?arch=torchvision:resnet18.")
    path = paths.file(path, "checkpoint")
    if "arch" not in name.options and trained is None:
        raise ValueError("checkpoint: names say the architecture: checkpoint:PATH?arch=torchvision:resnet18.")
    state = read_state_dict(path)
    architecture = _architecture(name, trained).partition("@")[0]
    classes = f"?classes={name.options['classes']}" if "classes" in name.options else ""
    python = architecture.startswith("python:")
    random = f"{_at_none(architecture)}{classes}"
    loaded = load_model(architecture if python else random)
    if trained is not None and trained.folded:
        if loaded.input_shape is None:
            raise ValueError(f"{name.rest} has batch norm folded, and the input shape of {architecture} is not known.")
        folded = fold_batch_norm(loaded.module.eval(), torch.zeros(1, *loaded.input_shape)).model
        loaded = replace(loaded, module=folded)
    expected = loaded.module.state_dict()
    for key, tensor in expected.items():
        if key not in state:
            if key.endswith("num_batches_tracked"):
                state[key] = tensor
                continue
            raise ValueError(f"{name.rest} does not fit {architecture}: {key} is missing in the file.")
        if state[key].shape != tensor.shape:
            have, want = tuple(state[key].shape), tuple(tensor.shape)
            raise ValueError(f"{name.rest} does not fit {architecture}: {key} has shape {have}, expected {want}.")
    unexpected = [key for key in state if key not in expected]
    if unexpected:
        raise ValueError(
            f"{name.rest} does not fit {architecture}: it also holds {unexpected[0]}, which is unknown there."
        )
    loaded.module.load_state_dict(state)
    weights = "fine-tuned by QAT" if trained is not None else "weights"
    return replace(
        loaded,
        name=str(name),
        trained=True,
        origin=f"{weights} from {path.name} on {architecture}",
        trained_quantization=trained,
    )


def _architecture(name: Name, trained: TrainedQuantization | None) -> str:
    """What the name says, which is somebody's own word; else what the file says, which may name libraries only."""
    asked = name.options.get("arch")
    if asked:
        if asked.partition(":")[0] not in (*LIBRARIES, "python"):
            raise UserError(
                f"A checkpoint's architecture is one of {', '.join(LIBRARIES)} or python, but arch is {asked[:80]!r}."
            )
        return asked
    said = trained.architecture if trained is not None else ""
    if said.partition(":")[0] not in LIBRARIES:
        raise UserError(
            f"{name.rest} says that its architecture is {said[:80]!r}, and what a file says is never run: if you trust "
            "it, write the architecture yourself, checkpoint:PATH?arch=…"
        )
    return said


def _at_none(architecture: str) -> str:
    """The architecture with random weights: the variant goes before the options."""
    name, question, options = architecture.partition("?")
    return f"{name}@none{question}{options}"


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Reads the tensors of a checkpoint; wrappers (`state_dict`, `model`) and `module.` prefixes are taken off.

    Raises:
        ValueError: with one sentence, if the file is missing, corrupt, or holds anything but tensors.
    """
    if not path.is_file():
        raise ValueError(f"There is no checkpoint at {path}.")
    try:
        if path.suffix == ".safetensors":
            return _unwrapped(load_file(path))
        with warnings.catch_warnings():  # about the file's pickle protocol: whether it can be read is seen below
            warnings.simplefilter("ignore")
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(
            f"{path} is corrupt or holds pickled code, which is not executed; save the state dict alone: "
            "torch.save(model.state_dict(), path), or safetensors."
        ) from None
    except Exception as error:  # what a damaged file makes of the reader can be anything, e.g. IndexError
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ValueError(f"{path} is corrupt or not a checkpoint ({reason}).") from None
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise ValueError(f"{path} holds no state dict: a dictionary of tensors is expected.")
    return _unwrapped({str(key): value for key, value in content.items()})


def _unwrapped(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Without the prefixes of `nn.DataParallel` and `torch.compile`."""
    for prefix in ("module.", "_orig_mod."):
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state
