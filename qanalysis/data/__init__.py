"""Where data comes from: one module per source, one table."""

from collections.abc import Callable

from qanalysis.data import coco, hub, imagefolder, masks, npz, pairs, python, sample, torchvision
from qanalysis.data.loaded import LoadedData
from qanalysis.models.loaded import LoadedModel
from qanalysis.names import GIVEN_SOURCE, Name, given
from qanalysis.schema.catalog import DATA_SOURCES
from qanalysis.schema.errors import UserError

SOURCES: dict[str, Callable[[Name, LoadedModel, int], LoadedData]] = {
    "sample": sample.load,
    "torchvision": torchvision.load,
    "imagefolder": imagefolder.load,
    "coco": coco.load,
    "masks": masks.load,
    "pairs": pairs.load,
    "npz": npz.load,
    "hf": hub.load,
    "python": python.load,
}


def load(name: str, model: LoadedModel, seed: int = 0) -> LoadedData:
    """Loads data by name, ready for `model`.

    Args:
        name: e.g. `sample:cifar10` or `imagefolder:PATH`.
        model: gives transform, normalisation and input size.
        seed: of the order of the calibration samples, and of the split where the data has none of its own.

    Raises:
        UserError: with one sentence that says what to do: unknown name, missing or unsuitable file, no network,
            not a single sample.
    """
    if name.startswith(f"{GIVEN_SOURCE}:"):
        return python.of_value(Name(GIVEN_SOURCE, name.partition(":")[2]), given(name), "given as an object", seed)
    parsed = Name.parse(name, "data", DATA_SOURCES)
    if parsed.variant is not None:
        raise UserError(f"Data has no @ variants, but got {name}; drop @{parsed.variant}.")
    return SOURCES[parsed.source](parsed, model, seed)
