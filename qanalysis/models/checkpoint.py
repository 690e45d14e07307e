"""`checkpoint:PATH?arch=NAME`: a user's state dict on a named architecture. Nothing in the file is ever executed.

A checkpoint that quantization-aware training wrote says itself what it is of: `checkpoint:PATH`.
"""

from collections.abc import Callable
from dataclasses import replace

import torch

from qanalysis.models.loaded import LoadedModel
from qanalysis.models.state_dict import fitted, read_state_dicts
from qanalysis.names import LIBRARIES, Name
from qanalysis.nn.fold import fold_batch_norm
from qanalysis.schema import paths
from qanalysis.schema.errors import UserError
from qanalysis.schema.trained import TrainedQuantization, read


def load(name: Name, load_model: Callable[[str], LoadedModel]) -> LoadedModel:
    """Loads a safetensors or (with `weights_only=True`) PyTorch file into the architecture of option `arch`.

    Option `key` chooses one of several state dicts in the file. A QAT checkpoint needs no option; it brings plan and
    ranges that it was trained with.

    Raises:
        ValueError: for a missing, corrupt or unsafe file, or if a tensor does not fit (the first one is named).
    """
    name.only("arch", "classes", "key")
    if "arch" in name.options:
        _architecture(name, None)  # it is refused before the file is looked at
    path = paths.checked(name.rest)
    trained = read(path)
    if "arch" not in name.options and trained is None and path.suffix != ".safetensors":
        raise UserError("checkpoint: names say the architecture: checkpoint:PATH?arch=torchvision:resnet18.")
    path = paths.file(path, "checkpoint")
    if "arch" not in name.options and trained is None:
        raise UserError("checkpoint: names say the architecture: checkpoint:PATH?arch=torchvision:resnet18.")
    states = read_state_dicts(path)
    architecture = _architecture(name, trained).partition("@")[0]
    classes = f"?classes={name.options['classes']}" if "classes" in name.options else ""
    python = architecture.startswith("python:")
    random = f"{_at_none(architecture)}{classes}"
    loaded = load_model(architecture if python else random)
    if trained is not None and trained.folded:
        if loaded.input_shape is None:
            raise UserError(f"{name.rest} has batch norm folded, and the input shape of {architecture} is not known.")
        folded = fold_batch_norm(loaded.module.eval(), torch.zeros(1, *loaded.input_shape)).model
        loaded = replace(loaded, module=folded)
    state, notes = fitted(states, loaded.module.state_dict(), path.name, architecture, name.options.get("key"))
    loaded.module.load_state_dict(state)
    weights = "fine-tuned by QAT" if trained is not None else "weights"
    return replace(
        loaded,
        name=str(name),
        trained=True,
        origin=f"{weights} from {path.name} on {architecture}",
        trained_quantization=trained,
        notes=(*loaded.notes, *notes),
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
