"""`imagefolder:PATH`: a folder of images, in a subfolder for each class or without labels."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torchvision.models import get_weight

from qanalysis.data.colour import conversions, in_colour
from qanalysis.data.loaded import LoadedData
from qanalysis.data.order import CALIBRATION_SAMPLES, fair
from qanalysis.data.preprocessing import IMAGENET, centre_crop, normalization
from qanalysis.data.split import DatasetSplit
from qanalysis.models.loaded import LoadedModel
from qanalysis.names import Name
from qanalysis.schema import paths
from qanalysis.schema.errors import UserError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".avif")
WORKERS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True)
class Listing:
    """The images under a folder.

    Attributes:
        paths: of the images.
        folders: of each image, the subfolder that names its class; empty if it lies in the folder itself.
        closed: subfolders that could not be read.
    """

    paths: tuple[Path, ...]
    folders: tuple[str, ...]
    closed: tuple[Path, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What to tell of it."""
        if not self.closed:
            return ()
        more = f" and {len(self.closed) - 1} more" if len(self.closed) > 1 else ""
        return (f"Left out, since it may not be read: {self.closed[0]}{more}.",)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the class folders, sorted."""
        return tuple(sorted(set(self.folders) - {""}))


@dataclass(frozen=True)
class Images:
    """A dataset of image files, prepared for the model."""

    paths: tuple[Path, ...]
    targets: NDArray[np.int64] | None
    transform: Callable[[Any], torch.Tensor]
    told: dict[str, Path] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to images on the way."""
        return conversions(self.told)

    def __len__(self) -> int:
        """The number of files."""
        return len(self.paths)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, int] | torch.Tensor:
        """Input and target, or input where there are no targets."""
        path = self.paths[position]
        with Image.open(path) as image:
            value = self.transform(in_colour(image, lambda note: self.told.setdefault(note, path)))
        return value if self.targets is None else (value, int(self.targets[position]))

    def split(self, order: NDArray[np.int64], mean: Any, std: Any) -> DatasetSplit:
        """The images at these positions, read ahead by several threads."""
        return DatasetSplit(
            self, order, workers=WORKERS, mean=mean, std=std, name=lambda position: str(self.paths[position])
        )


def load(name: Name, model: LoadedModel, seed: int) -> LoadedData:
    """Reads the images of a folder with the model's own transform, else resized and cropped to its input size.

    Subfolders `train` and `val` are used if both are there; else option `calibration` names a folder of images to
    calibrate on; else a quarter of the images, at most 1,024, is set aside for it.

    Raises:
        UserError: if a folder is missing or has no images.
    """
    name.only("calibration", "mean", "std")
    root = paths.folder(name.rest)
    transform, mean, std, warnings = _preparation(name, model)
    other, training = None, False
    if "calibration" in name.options:
        other = listed(paths.folder(name.options["calibration"]))
    elif (root / "train").is_dir() and (root / "val").is_dir():
        other, training = listed(root / "train"), True
    listing = listed(root / "val" if training else root)
    folders = {*listing.names, *other.names} if other and training else {*listing.names}
    classes, index = _classes(tuple(sorted(folders)), model)
    images, notes = _images(listing, index, transform)
    if other is None:
        if len(images) < 2:
            raise UserError(f"{root} holds one image; at least two are needed, one to calibrate and one to evaluate.")
        calibrating, order = images, fair(images.targets, len(images), seed)
        count = min(CALIBRATION_SAMPLES, max(1, len(order) // 4))
        evaluated = order[count:]
    else:
        calibrating, _ = _images(other, index, transform)
        order = fair(calibrating.targets, len(calibrating), seed)
        count = min(CALIBRATION_SAMPLES, len(order)) if training else len(order)
        evaluated = fair(images.targets, len(images), 0)
    labelled = images.targets is not None
    kind = f"in {len(listing.names):,} class folders of" if labelled else "without labels in"
    return LoadedData(
        str(name),
        f"{len(images):,} images {kind} {root}",
        calibrating.split(order[:count], mean, std),
        images.split(evaluated, mean, std),
        calibrating.split(order[count:], mean, std) if training and len(order) > count else None,
        labelled,
        classes,
        (*warnings, *notes, *listing.notes, *(other.notes if other else ())),
        images=True,
    )


def listed(root: Path) -> Listing:
    """All images under a folder, sorted; hidden files and folders and other kinds of files are passed over.

    Raises:
        UserError: if the folder is missing or has no images.
    """
    if not root.is_dir():
        raise UserError(f"There is no folder {root}; imagefolder: data is written imagefolder:PATH.")
    closed: list[Path] = []
    found = [entry.path for entry in paths.walk(root, closed.append) if entry.path.name.lower().endswith(EXTENSIONS)]
    if not found:
        if closed:
            raise UserError(f"{closed[0]} cannot be read: check its permissions.")
        raise UserError(f"{root} has no images; they must end in {', '.join(EXTENSIONS)}.")
    inside = [path.relative_to(root).parts for path in found]
    folders = tuple(parts[0] if len(parts) > 1 else "" for parts in inside)
    return Listing(tuple(found), folders, tuple(closed))


@cache
def imagenet_wnids() -> tuple[str, ...]:
    """The WordNet ids of ImageNet's 1,000 classes in the order of their indices."""
    return tuple(Path(__file__).with_name("imagenet_wnids.txt").read_text().split())


def _classes(folders: tuple[str, ...], model: LoadedModel) -> tuple[tuple[str, ...], dict[str, int]]:
    """The names of the classes, and the class of each folder.

    If most folders are named by WordNet ids of ImageNet's classes, they are these classes, and other folders are none;
    unless the model has just as many outputs as there are folders.
    """
    ids = {wnid: i for i, wnid in enumerate(imagenet_wnids())}
    known = {folder: ids[folder] for folder in folders if folder in ids}
    own = outputs(model.module) == len(folders) < len(ids)
    if known and 2 * len(known) >= len(folders) and not own:
        return tuple(get_weight("ResNet50_Weights.IMAGENET1K_V1").meta["categories"]), known
    return folders, {folder: i for i, folder in enumerate(folders)}


def outputs(module: nn.Module) -> int | None:
    """The number of classes of a classifier, taken from its last linear layer; None if it has none."""
    linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    return linear[-1].out_features if linear else None


def _images(
    listing: Listing, index: dict[str, int], transform: Callable[[Any], torch.Tensor]
) -> tuple[Images, tuple[str, ...]]:
    """The images that lie in folders of classes, with what to tell about others; or all, if none does, unlabelled."""
    inside = [folder in index for folder in listing.folders]
    if not any(inside):
        return Images(listing.paths, None, transform), ()
    paths = tuple(compress(listing.paths, inside))
    targets = np.array([index[folder] for folder in compress(listing.folders, inside)], np.int64)
    notes: tuple[str, ...] = ()
    if not all(inside):
        first, count = listing.paths[inside.index(False)], inside.count(False)
        others = f" and {count - 1:,} more" if count > 1 else ""
        notes += (f"Left out, as in no folder of a class: {first}{others}.",)
    if len(index) == 1:
        notes += (f"All images are in one class folder, {next(iter(index))}: accuracy says little.",)
    return Images(paths, targets, transform), notes


def _preparation(name: Name, model: LoadedModel) -> tuple[Callable[[Any], torch.Tensor], Any, Any, tuple[str, ...]]:
    """The transform, with the mean and standard deviation it normalises with, and warnings."""
    if model.transform is not None and not {"mean", "std"} & set(name.options):
        return model.transform, model.mean, model.std, ()
    shape = model.input_shape or (3, 224, 224)
    if len(shape) != 3:
        raise UserError(
            f"{model.name} takes inputs of shape {shape}, not images: give data of its own (python:, npz:)."
        )
    assumed = IMAGENET if shape[0] == 3 else ((0.5,), (0.5,))
    of = "ImageNet's mean and standard deviation" if shape[0] == 3 else "mean and standard deviation 0.5"
    chosen = normalization(name, model, shape[0], assumed, of)
    warnings = chosen.warnings
    if model.input_shape is None:
        warnings += ("The model does not say which size its inputs have: images were cropped to 224×224.",)
    return centre_crop((shape[0], shape[1], shape[2]), chosen), chosen.mean, chosen.std, warnings
