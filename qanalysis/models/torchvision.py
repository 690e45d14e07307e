"""`torchvision:NAME[@WEIGHTS]`: any classifier that torchvision builds."""

import difflib
from urllib.error import URLError

import torch
import torchvision.models as zoo

from qanalysis.models.loaded import LoadedModel
from qanalysis.names import Name


def load(name: Name) -> LoadedModel:
    """Builds a classifier with downloaded weights (default), those after `@`, or random ones (`@none`).

    Option `classes` sets the number of outputs of a model with random weights.

    Raises:
        ValueError: for an unknown model or weights, or if the weights cannot be downloaded.
    """
    name.only("classes")
    known = zoo.list_models(module=zoo)
    if name.rest not in known:
        close = difflib.get_close_matches(name.rest, known, 3)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise ValueError(f"torchvision has no classifier named {name.rest!r}.{hint}")
    if (name.variant or "").lower() == "none":
        torch.manual_seed(0)
        arguments = {"num_classes": int(name.options["classes"])} if "classes" in name.options else {}
        if name.rest in ("googlenet", "inception_v3"):
            arguments["init_weights"] = True
        module = zoo.get_model(name.rest, weights=None, **arguments)
        side = 299 if name.rest == "inception_v3" else 224
        full_name = f"torchvision:{name.rest}@none"
        origin = "torchvision architecture with random weights"
        return LoadedModel(full_name, module, False, origin, (3, side, side), architecture=name.rest)
    choices = zoo.get_model_weights(name.rest)
    if name.variant and name.variant not in choices.__members__:
        options = ", ".join([*choices.__members__, "none"])
        raise ValueError(f"{name.rest} has no weights named {name.variant!r}; choose from {options}.")
    weights = choices[name.variant] if name.variant else choices.DEFAULT  # type: ignore[attr-defined]
    try:
        module = zoo.get_model(name.rest, weights=weights, progress=True)
    except (URLError, OSError) as error:
        raise ValueError(
            f"The weights of torchvision:{name.rest} could not be downloaded ({error}); connect to the internet once, "
            f"put the file into {torch.hub.get_dir()}/checkpoints, or write torchvision:{name.rest}@none for random weights."
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
