"""Where models come from: one module per source, one table."""

from collections.abc import Callable
from dataclasses import replace

import torch

from qanalysis.models import checkpoint, python, sample, timm, torchvision
from qanalysis.models.loaded import LoadedModel
from qanalysis.models.prepared import prepared
from qanalysis.names import GIVEN_SOURCE, Name, given
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
    if name.startswith(f"{GIVEN_SOURCE}:"):
        module, notes = prepared(given(name), name)
        return LoadedModel(name, module, True, "given as an object", architecture=type(module).__name__, notes=notes)
    parsed = Name.parse(name, "model", MODEL_SOURCES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        loaded = checkpoint.load(parsed, load) if parsed.source == "checkpoint" else SOURCES[parsed.source](parsed)
    module, notes = prepared(loaded.module, name)
    return replace(loaded, module=module, notes=(*loaded.notes, *notes))
