"""QAT checkpoint: the trained network with its plan and ranges in one safetensors file, which loads as a model."""

from dataclasses import replace
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from qanalysis.models.loaded import LoadedModel
from qanalysis.names import CLIP, Name
from qanalysis.schema.catalog import MODEL_SOURCES
from qanalysis.schema.trained import KEY, TrainedQuantization


def save(path: Path, network: nn.Module, described: TrainedQuantization) -> None:
    """Writes a network's weights with its plan and ranges, whole or not at all.

    Raises:
        OSError: if the disk is full.
    """
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in network.state_dict().items()}
    partial = path.with_name(path.name + ".part")
    save_file(tensors, partial, metadata={KEY: described.model_dump_json()})
    partial.replace(path)


def architecture(model: LoadedModel) -> str:
    """The name that gives the network's architecture, whatever weights it has."""
    before = model.trained_quantization
    if before is not None:
        return before.architecture
    name = Name.parse(model.name, "model", MODEL_SOURCES)
    if name.source == "checkpoint":
        kept = "&".join(f"{option}={name.options[option]}" for option in ("classes", CLIP) if option in name.options)
        return name.options["arch"].partition("@")[0] + (f"?{kept}" if kept else "")
    return str(replace(name, variant=None))
