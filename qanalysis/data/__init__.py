"""Where data comes from: one module per source, one table."""

from qanalysis.data.loaded import LoadedData
from qanalysis.data.split import Split
from qanalysis.models.loaded import LoadedModel

__all__ = ["LoadedData", "Split", "load"]


def load(name: str, model: LoadedModel, seed: int = 0) -> LoadedData:
    """Loads data by name, ready for `model`.

    Args:
        name: e.g. `sample:cifar10` or `imagefolder:PATH`.
        model: gives transform, normalisation and input size.
        seed: of the order of the calibration samples, and of the split where the data has none of its own.

    Raises:
        ValueError: with one sentence that says what to do.
    """
    raise NotImplementedError
