"""`sample:cifar10`: the subset of CIFAR-10 (Krizhevsky 2009) that comes with the tool.

Each part is one or more lossless WebP mosaics, a tile per image, left to right and then down; `labels.json` says how
many columns there are, the labels (a digit each) and the SHA-256 of the pixels.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qanalysis.data.deferred import DeferredSplit
from qanalysis.data.loaded import LoadedData
from qanalysis.data.order import balanced
from qanalysis.data.preprocessing import normalization, size_warning
from qanalysis.data.split import ArraySplit, Split
from qanalysis.models.loaded import LoadedModel
from qanalysis.names import Name
from qanalysis.schema.catalog import samples_folder
from qanalysis.schema.errors import UserError

CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
"""Mean and standard deviation of CIFAR-10's training images, on pixels in [0, 1]."""
SIDE = 32


def load(name: Name, model: LoadedModel, seed: int) -> LoadedData:
    """2,000 test images to evaluate, 1,024 training images to calibrate and 8,000 further ones to train.

    Nothing is decoded before it is asked for.

    Raises:
        UserError: for another name, an unknown option, or if the files are not there.
    """
    name.only("mean", "std")
    if name.rest != "cifar10":
        raise UserError(f"Unknown sample data {name.rest!r}; choose from cifar10.")
    chosen = normalization(name, model, 3, CIFAR10, "CIFAR-10's own mean and standard deviation")
    folder = samples_folder() / "data"
    index = read_index(folder)

    def split(part: str, shuffle: bool) -> Split:
        values = labels(index, part)
        order = balanced(values, seed) if shuffle else None
        return DeferredSplit(
            len(values), lambda: ArraySplit(images(folder, index, part), values, chosen.mean, chosen.std, order)
        )

    return LoadedData(
        str(name),
        "a balanced subset of CIFAR-10 (Krizhevsky 2009): 2,000 test images, 1,024 + 8,000 training images",
        split("calibration", True),
        split("test", False),
        split("train", True),
        True,
        tuple(index["classes"]),
        (*chosen.warnings, *size_warning(model, SIDE, SIDE)),
        images=True,
    )


def read_index(folder: Path) -> dict[str, Any]:
    """What `labels.json` says.

    Raises:
        UserError: if it is not there.
    """
    try:
        index: dict[str, Any] = json.loads((folder / "labels.json").read_text())
    except OSError:
        raise UserError(
            f"The sample data is not in {folder}; run from a checkout of the repository, or set QANALYSIS_SAMPLES."
        ) from None
    return index


def labels(index: dict[str, Any], part: str) -> NDArray[np.int64]:
    """The labels `(N,)` of a part."""
    return np.array([int(digit) for digit in index["parts"][part]["labels"]], np.int64)


def images(folder: Path, index: dict[str, Any], part: str) -> NDArray[np.uint8]:
    """The images `(N, 32, 32, 3)` of a part.

    Raises:
        UserError: if a file is missing or broken.
    """
    tiles = []
    for file in index["parts"][part]["files"]:
        try:
            mosaic = np.asarray(Image.open(folder / file).convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f"The sample data is damaged: {folder / file} cannot be read ({error}).") from None
        rows, columns = mosaic.shape[0] // SIDE, mosaic.shape[1] // SIDE
        tiles.append(mosaic.reshape(rows, SIDE, columns, SIDE, 3).swapaxes(1, 2).reshape(-1, SIDE, SIDE, 3))
    return np.concatenate(tiles)[: len(index["parts"][part]["labels"])]


def damaged(folder: Path) -> list[str]:
    """The parts whose pixels are not those that were put in: their SHA-256 differs."""
    index = read_index(folder)
    return [
        part
        for part, entry in index["parts"].items()
        if hashlib.sha256(images(folder, index, part).tobytes()).hexdigest() != entry["sha256"]
    ]
