"""Where models come from: one module per source, one table."""

from collections.abc import Callable

import torch

from qanalysis.models import checkpoint, python, sample, timm, torchvision
from qanalysis.models.loaded import LoadedModel
from qanalysis.names import Name
from qanalysis.schema.catalog import MODEL_SOURCES

SOURCES: dict[str, Callable[[Name], LoadedModel]] = {
    "sample": sample.load,
    "torchvision": torchvision.load,
    "timm": timm.load,
    "python": python.load,
}


def load(name: str) -> LoadedModel:
    """Loads a model by name, in evaluation mode on the CPU, and checks that its weights are finite.

    Random weights are the same each time, and the caller's random state is left as it was.

    Raises:
        ValueError: with one sentence that says what to do: unknown name, missing or unsuitable file, no network,
            weights that hold NaN or infinity.
    """
    parsed = Name.parse(name, "model", MODEL_SOURCES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        loaded = checkpoint.load(parsed, load) if parsed.source == "checkpoint" else SOURCES[parsed.source](parsed)
    loaded.module.eval()
    for key, tensor in loaded.module.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            bad = int((~torch.isfinite(tensor)).sum())
            raise ValueError(f"{name}: weights must be finite, but {key} holds {bad} NaN or infinite values.")
    return loaded
