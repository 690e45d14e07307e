"""Where models come from: one module per source, one table."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from qanalysis.models import checkpoint, python, sample, timm, torchvision
from qanalysis.models.hub import network
from qanalysis.models.loaded import LoadedModel
from qanalysis.models.prepared import prepared
from qanalysis.names import GIVEN_SOURCE, Name, given, with_clip, without_clip
from qanalysis.nn.clip import clipped
from qanalysis.schema.catalog import MODEL_SOURCES
from qanalysis.schema.errors import UserError

SOURCES: dict[str, Callable[[Name], LoadedModel]] = {
    "sample": sample.load,
    "torchvision": torchvision.load,
    "timm": timm.load,
    "hf": network.load,
    "python": python.load,
}


def load(name: str) -> LoadedModel:
    """Loads a model by name, in evaluation mode on the CPU, and checks that its weights are finite.

    Option `clip=10` of any name clips what GELU and Swish give (Appendix D).

    Random weights are the same each time, and the caller's random state is left as it was.

    Raises:
        ValueError: with one sentence that says what to do: unknown name, missing or unsuitable file, no network,
            weights that hold NaN or infinity.
    """
    plain, limit = without_clip(name)
    loaded = _loaded(plain)
    if limit is None:
        return loaded
    return replace(
        loaded,
        name=with_clip(loaded.name, limit),
        module=clipped(loaded.module, limit),
        notes=(*loaded.notes, f"GELU and Swish give at most {limit:g}, in floating point as well."),
    )


def _loaded(name: str) -> LoadedModel:
    if name.startswith(f"{GIVEN_SOURCE}:"):
        value = given(name)
        if not isinstance(value, LoadedModel):
            if not isinstance(value, nn.Module):
                raise UserError(f"model must be an nn.Module or the name of one, but is {type(value).__name__}.")
            value = LoadedModel(name, value, True, "given as an object", architecture=type(value).__name__)
            value = replace(value, processor=python.brought(value.module, name))
        module, notes = prepared(value.module, name)
        return replace(value, name=name, module=module, notes=(*value.notes, *notes))
    parsed = Name.parse(name, "model", MODEL_SOURCES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        loaded = checkpoint.load(parsed, load) if parsed.source == "checkpoint" else SOURCES[parsed.source](parsed)
    module, notes = prepared(loaded.module, name)
    return replace(loaded, module=module, notes=(*loaded.notes, *notes))
