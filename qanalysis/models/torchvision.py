"""`torchvision:NAME[@WEIGHTS]`: any network that torchvision builds, of every family."""

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

import torch
import torchvision.models as zoo

from qanalysis.models.loaded import LoadedModel
from qanalysis.names import Name
from qanalysis.schema.errors import UserError


@dataclass(frozen=True)
class Family:
    """Networks of one kind.

    Attributes:
        task: what they are for.
        shape: of one input with random weights; None where sizes are free.
    """

    task: str
    shape: tuple[int, ...] | None


#: By module of torchvision; the first that has a name decides.
FAMILIES: dict[str, Family] = {
    "torchvision.models": Family("classification", (3, 224, 224)),
    "torchvision.models.detection": Family("detection", None),
    "torchvision.models.segmentation": Family("segmentation", (3, 520, 520)),
    "torchvision.models.video": Family("classification", (3, 16, 112, 112)),
    "torchvision.models.quantization": Family("classification", (3, 224, 224)),
    "torchvision.models.optical_flow": Family("fidelity", None),
}
#: Those whose inputs have another size than their family's.
_SHAPES = {
    "inception_v3": (3, 299, 299),
    "quantized_inception_v3": (3, 299, 299),
    "mvit_v1_b": (3, 16, 224, 224),
    "mvit_v2_s": (3, 16, 224, 224),
    "swin3d_t": (3, 16, 224, 224),
    "swin3d_s": (3, 16, 224, 224),
    "swin3d_b": (3, 16, 224, 224),
    "s3d": (3, 16, 224, 224),
}


def load(name: Name) -> LoadedModel:
    """Builds a network with downloaded weights (default), those after `@`, or random ones (`@none`).

    Option `classes` sets the number of outputs of a network with random weights. Quantizable networks come in floating
    point; segmenters with random weights have the auxiliary head that trained ones have.

    Raises:
        UserError: for an unknown model or weights, or if the weights cannot be downloaded.
    """
    name.only("classes")
    family = _family(name.rest)
    shape = _SHAPES.get(name.rest, family.shape)
    classes = name.count("classes")
    builder = zoo.get_model_builder(name.rest)
    if (name.variant or "").lower() == "none":
        module = zoo.get_model(name.rest, weights=None, **_arguments(builder, classes))
        origin = "torchvision architecture with random weights"
        return LoadedModel(str(name), module, False, origin, shape, architecture=name.rest, task=family.task)
    if classes is not None:
        raise UserError(f"Option classes goes with random weights only; write torchvision:{name.rest}@none?classes=…")
    choices = _floating(zoo.get_model_weights(name.rest))
    if name.variant and name.variant not in choices:
        options = ", ".join([*choices, "none"])
        raise UserError(f"{name.rest} has no weights named {name.variant!r}; choose from {options}.")
    if not choices:
        raise UserError(f"torchvision has no weights for {name.rest}; write torchvision:{name.rest}@none.")
    weights = choices[name.variant] if name.variant else next(reversed(choices.values()))
    try:
        module = zoo.get_model(name.rest, weights=weights, progress=True)
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: a file with the wrong hash
        raise UserError(
            f"The weights of torchvision:{name.rest} could not be downloaded ({error}); connect to the internet once, "
            f"put the file into {torch.hub.get_dir()}/checkpoints, or write torchvision:{name.rest}@none "
            "for random weights."
        ) from None
    transform = weights.transforms()
    size = getattr(transform, "crop_size", None)
    if size is not None and shape is not None:
        sides = (*size, *size)[:2]
        shape = (*shape[:-2], *sides)
    mean, std = getattr(transform, "mean", None), getattr(transform, "std", None)
    return LoadedModel(
        f"torchvision:{name.rest}@{weights.name}",
        module,
        True,
        f"torchvision weights {weights.name}",
        shape,
        transform,
        None if mean is None else tuple(mean),
        None if std is None else tuple(std),
        name.rest,
        task=family.task,
    )


def _family(name: str) -> Family:
    known = zoo.list_models()
    if name not in known:
        close = difflib.get_close_matches(name, known, 3)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise UserError(f"torchvision has no model named {name!r}.{hint}")
    where = zoo.get_model_builder(name).__module__
    inside = [family for module, family in FAMILIES.items() if where.startswith(f"{module}.")]
    return inside[-1]  # the most special: all lie in the first


def _arguments(builder: Callable[..., Any], classes: int | None) -> dict[str, Any]:
    """What a network with random weights is built with."""
    known = inspect.signature(builder).parameters
    arguments: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    if "weights_backbone" in known:
        arguments["weights_backbone"] = None
    if "aux_loss" in known:
        arguments["aux_loss"] = True
    if builder.__name__ in ("googlenet", "inception_v3"):
        arguments["init_weights"] = True
    return arguments


def _floating(weights: Any) -> dict[str, Any]:
    """Weights by name, the default one last; those in integers, which quantizable networks have, are left out."""
    members = {name: one for name, one in weights.__members__.items() if name != "DEFAULT"}
    default = weights.__members__.get("DEFAULT")
    floating = {}
    for one in members.values():
        whole = one.meta.get("backend") is not None and one.meta.get("unquantized") is not None
        chosen = one.meta["unquantized"] if whole else one
        floating[chosen.name] = chosen
    if default is not None and default.name in floating:
        floating[default.name] = floating.pop(default.name)
    return floating
