"""`torchvision:CIFAR10` and `torchvision:CIFAR100`: the full sets, downloaded once."""

from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
from torchvision import datasets

from qanalysis.data.loaded import LoadedData
from qanalysis.data.order import CALIBRATION_SAMPLES, balanced
from qanalysis.data.preprocessing import Channels, normalization, size_warning
from qanalysis.data.sample import CIFAR10
from qanalysis.data.split import ArraySplit
from qanalysis.models.loaded import LoadedModel
from qanalysis.names import Name
from qanalysis.schema import paths
from qanalysis.schema.catalog import home
from qanalysis.schema.errors import UserError

CIFAR100 = ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))
"""Mean and standard deviation of CIFAR-100's training images, on pixels in [0, 1]."""
SETS: dict[str, tuple[Any, tuple[Channels, Channels]]] = {
    "CIFAR10": (datasets.CIFAR10, CIFAR10),
    "CIFAR100": (datasets.CIFAR100, CIFAR100),
}


def load(name: Name, model: LoadedModel, seed: int) -> LoadedData:
    """10,000 test images to evaluate; of 50,000 training images 1,024 to calibrate, the rest to train.

    The files are in the tool's folder, or where option `root` says.

    Raises:
        UserError: for an unknown set, or one that is not there and cannot be downloaded.
    """
    name.only("root", "mean", "std")
    if name.rest not in SETS:
        raise UserError(f"Unknown torchvision data {name.rest!r}; choose from {', '.join(SETS)}.")
    dataset, own = SETS[name.rest]
    chosen = normalization(name, model, 3, own, f"{name.rest}'s own mean and standard deviation")
    root = paths.checked(name.options["root"]) if "root" in name.options else home() / "data"
    train, test = (_downloaded(dataset, root, name, part) for part in (True, False))
    y_train, y_test = (np.asarray(part.targets, np.int64) for part in (train, test))
    order = balanced(y_train, seed)
    calibration, rest = order[:CALIBRATION_SAMPLES], order[CALIBRATION_SAMPLES:]
    return LoadedData(
        str(name),
        f"{name.rest} (Krizhevsky 2009): {len(y_train):,} training and {len(y_test):,} test images",
        ArraySplit(train.data, y_train, chosen.mean, chosen.std, calibration),
        ArraySplit(test.data, y_test, chosen.mean, chosen.std, balanced(y_test, 0)),
        ArraySplit(train.data, y_train, chosen.mean, chosen.std, rest),
        True,
        tuple(train.classes),
        (*chosen.warnings, *size_warning(model, *train.data.shape[1:3])),
        images=True,
    )


def _downloaded(dataset: Any, root: Path, name: Name, train: bool) -> Any:
    try:
        return dataset(str(root), train=train)
    except RuntimeError:  # not there, or not the published bytes; torchvision checks them before it unpickles any
        pass
    try:
        root.mkdir(parents=True, exist_ok=True)
        return dataset(str(root), train=train, download=True)
    except (OSError, RuntimeError, HTTPException, EOFError) as error:
        raise UserError(
            f"{name.rest} is not in {root} and could not be downloaded ({error}); connect to the internet once, "
            f"put torchvision's files there, or use sample:cifar10, a subset that comes with the tool."
        ) from None
