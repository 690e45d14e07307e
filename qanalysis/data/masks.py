"""`masks:PATH`: images, and for each a mask with the class of every pixel."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import functional

from qanalysis.data.colour import conversions, in_colour
from qanalysis.data.imagefolder import EXTENSIONS, WORKERS
from qanalysis.data.loaded import LoadedData
from qanalysis.data.order import parted
from qanalysis.data.preprocessing import IMAGENET, Normalization, normalization
from qanalysis.data.split import DatasetSplit, Sample, together
from qanalysis.models.loaded import LoadedModel
from qanalysis.names import Name
from qanalysis.schema import paths
from qanalysis.schema.errors import UserError

#: Folders of images, and the folders of their masks that lie beside them.
_PAIRS = (
    ("images", "masks"),
    ("images", "labels"),
    ("images", "annotations"),
    ("JPEGImages", "SegmentationClass"),
    ("img", "ann"),
)
_CLASSES = "classes.txt"


@dataclass(frozen=True, eq=False)
class Pairs:
    """A dataset of images and masks, resized alike and normalised."""

    images: tuple[Path, ...]
    masks: tuple[Path, ...]
    size: Callable[[int, int], tuple[int, int]]
    normalized: Normalization
    told: dict[str, Path] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to images on the way."""
        return conversions(self.told)

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.images)

    def __getitem__(self, position: int) -> Sample:
        """An image `(3, H, W)` and its mask `(H, W)`, int64."""
        path = self.images[position]
        with Image.open(path) as opened:
            image = in_colour(opened, lambda note: self.told.setdefault(note, path)).convert("RGB")
        with Image.open(self.masks[position]) as opened:
            mask = _class_numbers(opened)
        if mask.shape != (image.height, image.width):
            raise ValueError(
                f"its mask has the size {mask.shape[1]}×{mask.shape[0]}, the image {image.width}×{image.height}"
            )
        height, width = self.size(image.height, image.width)
        if (height, width) != mask.shape:
            image = functional.resize(image, [height, width])
            small = Image.fromarray(mask.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST)
            mask = np.asarray(small)
        pixels = np.asarray(image, np.float32) / np.float32(255)
        pixels -= np.array(self.normalized.mean, np.float32)
        pixels /= np.array(self.normalized.std, np.float32)
        return torch.from_numpy(pixels).permute(2, 0, 1), torch.from_numpy(mask.astype(np.int64))


def load(name: Name, model: LoadedModel, seed: int) -> LoadedData:
    """Pairs of `images/NAME.*` and `masks/NAME.png` under a folder, or under its subfolders `train` and `val`.

    A mask's pixels are class numbers (one channel, or a palette); 255 is not judged. `classes.txt` may name the
    classes, a line each. Images are resized as the model's weights want it.

    Raises:
        UserError: if a folder is missing, or there are no pairs.
    """
    name.only("mean", "std")
    root = paths.folder(name.rest)
    chosen = normalization(name, model, 3, IMAGENET, "ImageNet's mean and standard deviation")
    size = _sizing(model)
    notes = list(chosen.warnings)
    if (root / "train").is_dir() and (root / "val").is_dir():
        evaluated, calibrated = (_pairs(root / part, size, chosen, notes) for part in ("val", "train"))
        training: int | None = len(calibrated)
    else:
        evaluated = calibrated = _pairs(root, size, chosen, notes)
        training = None
    first, last, rest = parted(len(evaluated), training, seed, f"pair in {root}")
    return LoadedData(
        str(name),
        f"{len(evaluated):,} images with masks in {root}",
        _split(calibrated, first),
        _split(evaluated, last),
        _split(calibrated, rest) if len(rest) else None,
        True,
        _names(root),
        tuple(notes),
        images=True,
        task="segmentation",
    )


def _pairs(
    root: Path, size: Callable[[int, int], tuple[int, int]], normalized: Normalization, notes: list[str]
) -> Pairs:
    for images, masks in _PAIRS:
        if (root / images).is_dir() and (root / masks).is_dir():
            break
    else:
        raise UserError(f"{root} must hold folders images and masks with files of the same names, but has not.")
    known = {path.stem: path for path in _files(root / masks)}
    found = [(path, known[path.stem]) for path in _files(root / images) if path.stem in known]
    if not found:
        raise UserError(f"No image in {root / images} has a mask of the same name in {root / masks}.")
    without = len(_files(root / images)) - len(found)
    if without:
        notes.append(f"{without:,} images in {root / images} have no mask and were left out.")
    pictures, maps = zip(*found, strict=True)
    return Pairs(pictures, maps, size, normalized)


def _files(folder: Path) -> list[Path]:
    return [entry.path for entry in paths.walk(folder) if entry.path.name.lower().endswith(EXTENSIONS)]


def _split(pairs: Pairs, order: NDArray[np.int64]) -> DatasetSplit:
    return DatasetSplit(
        pairs,
        order,
        workers=WORKERS,
        mean=pairs.normalized.mean,
        std=pairs.normalized.std,
        name=lambda position: str(pairs.images[position]),
        collate=together,
        by_size=True,
    )


def _names(root: Path) -> tuple[str, ...]:
    """The names of the classes, where a file has them."""
    path = root / _CLASSES
    if paths.kind(path) != "file":
        return ()
    try:
        return tuple(line.strip() for line in path.read_text().splitlines() if line.strip())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}).") from None


def _class_numbers(mask: Image.Image) -> NDArray[np.integer[Any]]:
    """A mask's pixels `(H, W)`.

    Raises:
        ValueError: if it has several channels: colours are no class numbers.
    """
    if mask.mode not in ("P", "L", "1", "I", "I;16"):
        raise ValueError(f"its mask has the channels {mask.mode}, but must have one with class numbers, or a palette")
    return np.asarray(mask.convert("L") if mask.mode == "1" else mask)


def _sizing(model: LoadedModel) -> Callable[[int, int], tuple[int, int]]:
    """From an image's height and width to those that the model is given."""
    short = getattr(model.transform, "resize_size", None)
    if short:
        return lambda height, width: _scaled(height, width, int(short[0]))
    if model.input_shape is not None:
        fixed = model.input_shape[-2:]
        return lambda height, width: (fixed[0], fixed[1])
    return lambda height, width: (height, width)


def _scaled(height: int, width: int, short: int) -> tuple[int, int]:
    """The short side as given, the long one in proportion, as torchvision rounds it."""
    if height <= width:
        return short, int(short * width / height)
    return int(short * height / width), short
