"""`timm:NAME`: any classifier of the timm library (an extra)."""

import difflib

from qanalysis.models.loaded import LoadedModel
from qanalysis.names import Name
from qanalysis.schema.errors import UserError


def load(name: Name) -> LoadedModel:
    """Builds a timm classifier with its pretrained weights, or random ones (`@none`).

    Raises:
        UserError: if timm is not installed, has no such model, or the weights cannot be downloaded.
    """
    name.only("classes")
    try:
        import timm  # an extra
    except ImportError:
        raise UserError("timm: models need the timm library: pip install 'qanalysis[timm]'.") from None
    if not timm.is_model(name.rest):
        close = difflib.get_close_matches(name.rest, timm.list_models(), 3)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise UserError(
            f"timm has no architecture named {name.rest[:80]!r}; models of a hub or a folder are not taken.{hint}"
        )
    random = (name.variant or "").lower() == "none"
    full_name = name.rest if random or name.variant is None else f"{name.rest}.{name.variant}"
    classes = name.count("classes")
    if classes is not None and not random:
        raise UserError(f"Option classes goes with random weights only; write timm:{name.rest}@none?classes=…")
    arguments = {} if classes is None else {"num_classes": classes}
    try:
        module = timm.create_model(full_name, pretrained=not random, **arguments)
    except RuntimeError as error:
        raise UserError(f"timm cannot build {full_name!r}: {error}.") from None
    except OSError as error:
        raise UserError(
            f"The weights of timm:{full_name} could not be downloaded ({error}); write @none for random ones."
        ) from None
    config = timm.data.resolve_model_data_config(module)
    shape: tuple[int, int, int] = tuple(config["input_size"])
    return LoadedModel(
        str(name),
        module,
        not random,
        "timm architecture with random weights" if random else "timm pretrained weights",
        shape,
        timm.data.create_transform(**config, is_training=False),
        tuple(config["mean"]),
        tuple(config["std"]),
        name.rest,
    )
