"""`sample:cifar10` and `sample:scenes`: the subset of CIFAR-10 (Krizhevsky 2009) that comes with the tool.

Each part is one or more lossless WebP mosaics, a tile per image, left to right and then down; `labels.json` says how
many columns there are, the labels (a digit each) and the SHA-256 of the pixels.
"""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from qanalysis.data import pairs
from qanalysis.data.deferred import DeferredSplit
from qanalysis.data.loaded import LoadedData
from qanalysis.data.order import balanced, fair
from qanalysis.data.preprocessing import Normalization, normalization, size_warning
from qanalysis.data.scenes import Scene, compose
from qanalysis.data.split import ArraySplit, DatasetSplit, Sample, Split, lists, together
from qanalysis.models.loaded import LoadedModel
from qanalysis.names import Name
from qanalysis.schema.catalog import samples_folder
from qanalysis.schema.errors import UserError

CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
"""Mean and standard deviation of CIFAR-10's training images, on pixels in [0, 1]."""
SIDE = 32
#: Scenes of each part.
SCENES = {"test": 500, "calibration": 256, "train": 2000}


def load(name: Name, model: LoadedModel, seed: int) -> LoadedData:
    """2,000 test images to evaluate, 1,024 training images to calibrate and 8,000 further ones to train.

    Nothing is decoded before it is asked for.

    Raises:
        UserError: for another name, an unknown option, or if the files are not there.
    """
    if name.rest == "scenes":
        return scenes(name, model, seed)
    if name.rest == "numbers":
        return pairs.numbers(name, model, seed)
    name.only("mean", "std")
    if name.rest != "cifar10":
        raise UserError(f"Unknown sample data {name.rest!r}; choose from cifar10, scenes, numbers.")
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
        task="classification",
    )


@dataclass(eq=False)
class SceneDataset:
    """Scenes composed from a part of the sample data, with boxes or with masks; each is composed once."""

    part: str
    count: int
    masks: bool
    chosen: Normalization
    _known: dict[int, Scene] = field(default_factory=dict)

    def __len__(self) -> int:
        """The number of scenes."""
        return self.count

    def __getitem__(self, position: int) -> Sample:
        """An image in [0, 1] with its boxes, or a normalised one with the class of every pixel; the ground is 0."""
        scene = self._known.get(position)
        if scene is None:
            scene = self._known[position] = compose(*self._objects, position)
        pixels = scene.pixels.astype(np.float32) / np.float32(255)
        if not self.masks:
            target = {"boxes": torch.from_numpy(scene.boxes), "labels": torch.from_numpy(scene.labels + 1)}
            return torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), target
        pixels -= np.array(self.chosen.mean, np.float32)
        pixels /= np.array(self.chosen.std, np.float32)
        return torch.from_numpy(pixels).permute(2, 0, 1), torch.from_numpy(class_map(scene))

    @cached_property
    def _objects(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        folder = samples_folder() / "data"
        index = read_index(folder)
        return images(folder, index, self.part), labels(index, self.part)


def scenes(name: Name, model: LoadedModel, seed: int) -> LoadedData:
    """500 scenes to evaluate, 256 to calibrate and 2,000 to train, with boxes, or with masks for segmenters.

    Objects of each part come from that part of CIFAR-10 alone.

    Raises:
        UserError: for an unknown option, or if the files are not there.
    """
    name.only("targets", "mean", "std")
    targets = name.options.get("targets", "masks" if model.task == "segmentation" else "boxes")
    if targets not in ("boxes", "masks"):
        raise UserError(f"Option targets of sample:scenes must be boxes or masks, but got {targets!r:.40}.")
    masks = targets == "masks"
    chosen = normalization(name, model, 3, CIFAR10, "CIFAR-10's own mean and standard deviation")
    index = read_index(samples_folder() / "data")

    def split(part: str, shuffle: bool) -> Split:
        dataset = SceneDataset(part, SCENES[part], masks, chosen)
        order = fair(None, len(dataset), seed) if shuffle else None
        mean, std = (chosen.mean, chosen.std) if masks else ((0.0,) * 3, (1.0,) * 3)
        collate = together if masks else lists
        return DatasetSplit(dataset, order, mean=mean, std=std, name=f"{part} scene {{}}".format, collate=collate)

    return LoadedData(
        str(name),
        "scenes composed from a subset of CIFAR-10 (Krizhevsky 2009): 500 of test images, 2,256 of training images",
        split("calibration", True),
        split("test", False),
        split("train", True),
        True,
        ("ground", *index["classes"]),
        chosen.warnings if masks else (),
        images=True,
        task="segmentation" if masks else "detection",
    )


def class_map(scene: Scene) -> NDArray[np.int64]:
    """The class of every pixel `(H, W)`: 0 for the ground, objects numbered from 1."""
    numbers: NDArray[np.int64] = (scene.masks * (scene.labels[:, None, None] + 1)).sum(0)
    return numbers


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
