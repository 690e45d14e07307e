"""`torchvision:NAME[@WEIGHTS]`: any classifier that torchvision builds."""

import difflib
from http.client import HTTPException

import torch
import torchvision.models as zoo

from qanalysis.models.loaded import LoadedModel
from qanalysis.names import Name
from qanalysis.schema.errors import UserError


def load(name: Name) -> LoadedModel:
    """Builds a classifier with downloaded weights (default), those after `@`, or random ones (`@none`).

    Option `classes` sets the number of outputs of a model with random weights.

    Raises:
        UserError: for an unknown model or weights, or if the weights cannot be downloaded.
    """
    name.only("classes")
    known = zoo.list_models(module=zoo)
    if name.rest not in known:
        close = difflib.get_close_matches(name.rest, known, 3)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise UserError(f"torchvision has no classifier named {name.rest!r}.{hint}")
    classes = name.count("classes")
    if (name.variant or "").lower() == "none":
        arguments = {} if classes is None else {"num_classes": classes}
        if name.rest in ("googlenet", "inception_v3"):
            arguments["init_weights"] = True
        module = zoo.get_model(name.rest, weights=None, **arguments)
        side = 299 if name.rest == "inception_v3" else 224
        origin = "torchvision architecture with random weights"
        return LoadedModel(str(name), module, False, origin, (3, side, side), architecture=name.rest)
    if classes is not None:
        raise UserError(f"Option classes goes with random weights only; write torchvision:{name.rest}@none?classes=…")
    choices = zoo.get_model_weights(name.rest)
    if name.variant and name.variant not in choices.__members__:
        options = ", ".join([*choices.__members__, "none"])
        raise UserError(f"{name.rest} has no weights named {name.variant!r}; choose from {options}.")
    weights = choices[name.variant or "DEFAULT"]
    try:
        module = zoo.get_model(name.rest, weights=weights, progress=True)
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: a file with the wrong hash
        raise UserError(
            f"The weights of torchvision:{name.rest} could not be downloaded ({error}); connect to the internet once, "
            f"put the file into {torch.hub.get_dir()}/checkpoints, or write torchvision:{name.rest}@none "
            "for random weights."
        ) from None
    transform = weights.transforms()
    size = transform.crop_size[0]
    return LoadedModel(
        f"torchvision:{name.rest}@{weights.name}",
        module,
        True,
        f"torchvision weights {weights.name}",
        (3, size, size),
        transform,
        tuple(transform.mean),
        tuple(transform.std),
        name.rest,
    )
