"""`coco:PATH`: images with boxes, as COCO's annotation files have them (cocodataset.org, "Data format")."""

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from qanalysis.data.colour import conversions, in_colour
from qanalysis.data.imagefolder import WORKERS
from qanalysis.data.loaded import LoadedData
from qanalysis.data.order import parted
from qanalysis.data.split import DatasetSplit, Sample, lists
from qanalysis.models.loaded import LoadedModel
from qanalysis.names import Name
from qanalysis.schema import paths
from qanalysis.schema.errors import UserError

#: Classes that can be told apart, at the most: a number is an index of a table.
_MOST_CLASSES = 100_000


@dataclass(frozen=True)
class Annotations:
    """What an annotation file says.

    Attributes:
        paths: of the images.
        targets: for each image `boxes` (left, top, right, bottom), `labels`, `iscrowd`, and outlines as they are.
        classes: names by number; empty where there is none.
        notes: what was left out or changed.
    """

    paths: tuple[Path, ...]
    targets: tuple[dict[str, Any], ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Scenes:
    """A dataset of images with their boxes."""

    annotations: Annotations
    masks: bool
    transform: Callable[[Any], torch.Tensor]
    told: dict[str, Path] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to images on the way."""
        return conversions(self.told)

    def __len__(self) -> int:
        """The number of images."""
        return len(self.annotations.paths)

    def __getitem__(self, position: int) -> Sample:
        """An image `(3, H, W)` in [0, 1], and its target."""
        path, known = self.annotations.paths[position], self.annotations.targets[position]
        with Image.open(path) as image:
            value = self.transform(in_colour(image, lambda note: self.told.setdefault(note, path)))
        height, width = value.shape[-2:]
        target = {key: torch.from_numpy(known[key]) for key in ("boxes", "labels", "iscrowd")}
        if self.masks:
            target["masks"] = torch.from_numpy(_masks(known["outlines"], height, width))
        return value, target


def load(name: Name, model: LoadedModel, seed: int) -> LoadedData:
    """Images and boxes of a folder with COCO's layout, or with the annotation file beside the images.

    `annotations/instances_train*.json` and `instances_val*.json` are used if both are there; else a quarter of the
    images, at most 1,024, is set aside to calibrate. Class numbers stay those of the file. Masks are read where the
    model gives some.

    Raises:
        UserError: if a folder or file is missing or corrupt, a box is of an unknown category or image, or nothing is
            annotated.
    """
    name.only("annotations", "images")
    root = paths.folder(name.rest)
    files = _files(name, root)
    notes: tuple[str, ...] = ()
    masks = _wants_masks(model)
    if masks and not _has_pycocotools():
        masks, notes = False, ("Masks are not read: pip install 'qanalysis[coco]'.",)
    parts = {part: read(file, _images_of(name, root, file)) for part, file in files.items()}
    evaluated = Scenes(parts["val"], masks, _unchanged)
    calibrated = Scenes(parts.get("train", parts["val"]), masks, _unchanged)
    training = len(calibrated) if "train" in parts else None
    first, last, rest = parted(len(evaluated), training, seed, f"image in {root}")
    boxes = sum(len(target["labels"]) for target in evaluated.annotations.targets)
    return LoadedData(
        str(name),
        f"{len(evaluated):,} images with {boxes:,} boxes in {files['val']}",
        _split(calibrated, first),
        _split(evaluated, last),
        _split(calibrated, rest) if len(rest) else None,
        True,
        evaluated.annotations.classes,
        tuple(dict.fromkeys((*notes, *evaluated.annotations.notes, *calibrated.annotations.notes))),
        images=True,
        task="detection",
    )


def read(file: Path, images: Path) -> Annotations:
    """What an annotation file says about images in a folder.

    Boxes that reach over an image are cut off at its border; those with nothing inside are left out. Both are told.

    Raises:
        UserError: naming what is wrong.
    """
    content = _content(file)
    classes = _classes(file, content["categories"])
    places: dict[Any, int] = {}
    found: list[Path] = []
    targets: list[dict[str, list[Any]]] = []
    sizes: list[tuple[float, float]] = []
    for entry in content["images"]:
        number, path = entry.get("id"), _inside(images, entry.get("file_name"), file)
        if number in places:
            raise UserError(f"{file}: the image id {number!r:.40} is there twice.")
        places[number] = len(found)
        found.append(path)
        targets.append({"boxes": [], "labels": [], "iscrowd": [], "outlines": []})
        sizes.append((_number(entry.get("width")), _number(entry.get("height"))))
    cut, empty = [], []
    for entry in content["annotations"]:
        place = places.get(entry.get("image_id"))
        if place is None:
            raise UserError(f"{file}: an annotation is of image {entry.get('image_id')!r:.40}, which is not listed.")
        category = entry.get("category_id")
        if not isinstance(category, int) or category not in classes:
            raise UserError(
                f"{file}: a box in {found[place].name} has the unknown category {category!r:.40}; the file lists "
                f"{', '.join(map(str, list(classes)[:8]))}{', …' if len(classes) > 8 else ''}."
            )
        box = entry.get("bbox")
        if not (isinstance(box, list) and len(box) == 4 and all(math.isfinite(_number(side)) for side in box)):
            raise UserError(f"{file}: a box in {found[place].name} must be four numbers, but is {box!r:.60}.")
        left, top, width, height = (float(side) for side in box)
        right, bottom = left + width, top + height
        wide, high = sizes[place]
        if not (math.isfinite(wide) and math.isfinite(high)):
            wide, high = sizes[place] = _size(found[place])
        inside = (max(left, 0.0), max(top, 0.0), min(right, wide), min(bottom, high))
        if inside[2] - inside[0] <= 0 or inside[3] - inside[1] <= 0:
            empty.append(found[place].name)
            continue
        if max(abs(a - b) for a, b in zip(inside, (left, top, right, bottom), strict=True)) > 1:
            cut.append(found[place].name)
        target = targets[place]
        target["boxes"].append(inside)
        target["labels"].append(category)
        target["iscrowd"].append(bool(entry.get("iscrowd", 0)))
        target["outlines"].append(entry.get("segmentation"))
    if not any(target["labels"] for target in targets):
        raise UserError(f"{file} has no annotation of a box in an image: there is nothing to measure against.")
    notes = []
    if cut:
        notes.append(f"{len(cut):,} boxes reach over their image and were cut off at its border (first in {cut[0]}).")
    if empty:
        notes.append(f"{len(empty):,} boxes have nothing inside their image and were left out (first in {empty[0]}).")
    names = tuple(classes.get(number, "") for number in range(max(classes) + 1))
    return Annotations(tuple(found), tuple(_arrays(target) for target in targets), names, tuple(notes))


def _split(scenes: Scenes, order: NDArray[np.int64]) -> DatasetSplit:
    return DatasetSplit(
        scenes,
        order,
        workers=WORKERS,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        name=lambda position: str(scenes.annotations.paths[position]),
        collate=lists,
        by_size=True,
    )


def _unchanged(image: Any) -> torch.Tensor:
    """An image as a tensor `(3, H, W)` in [0, 1]: detectors resize and normalise for themselves."""
    pixels = np.asarray(image.convert("RGB"), np.float32) / np.float32(255)
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _files(name: Name, root: Path) -> dict[str, Path]:
    """The annotation files: of `val`, and of `train` where both are there."""
    if "annotations" in name.options:
        return {"val": paths.file(name.options["annotations"], "annotation file")}
    found = [
        path
        for folder in (root, root / "annotations", root / "train", root / "valid", root / "val")
        if folder.is_dir()
        for path in sorted(folder.glob("*.json"))
        if paths.kind(path) == "file" and _looks_right(path)
    ]
    if not found:
        raise UserError(
            f"{root} has no annotation file of COCO's form (JSON with images, annotations and categories), nor has "
            f"{root / 'annotations'}; name it: coco:{name.rest}?annotations=FILE."
        )
    train = [path for path in found if "train" in _words(path, root)]
    val = [path for path in found if "val" in _words(path, root)]
    if train and val:
        return {"train": _instances(train), "val": _instances(val)}
    return {"val": _instances(found)}


def _words(path: Path, root: Path) -> str:
    return str(path.relative_to(root)).lower()


def _instances(found: list[Path]) -> Path:
    """Of several annotation files that of boxes: captions and keypoints lie beside it in COCO."""
    return next((path for path in found if "instances" in path.name), found[0])


def _images_of(name: Name, root: Path, file: Path) -> Path:
    """The folder of a file's images."""
    if "images" in name.options:
        return paths.folder(name.options["images"])
    part = file.stem.rpartition("_")[2]
    folders = (root / part, root / "images" / part, root / "images", file.parent)
    content = _content(file)
    first = content["images"][0].get("file_name") if content["images"] else ""
    for folder in folders:
        if isinstance(first, str) and first and folder.is_dir() and (folder / first).is_file():
            return folder
    return root


def _looks_right(path: Path) -> bool:
    """Whether a file is JSON with the keys that COCO's have."""
    try:
        content = _parsed(path, path.stat().st_mtime_ns)
    except (OSError, ValueError, RecursionError):
        return True  # `read` says what is wrong with it
    return isinstance(content, dict) and {"images", "annotations"} <= set(content)


@lru_cache(maxsize=2)  # files of large sets take seconds to parse
def _parsed(file: Path, modified: int) -> Any:
    return json.loads(file.read_bytes())


def _content(file: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        content = _parsed(file, file.stat().st_mtime_ns)
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(f"{file} cannot be read as JSON ({reason[:120]}).") from None
    for key in ("images", "annotations", "categories"):
        entries = content.get(key) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise UserError(f"{file} is no annotation file of COCO's form: it has no list {key!r}.")
    if not content["images"]:
        raise UserError(f"{file} lists no images.")
    return content  # type: ignore[no-any-return]


def _classes(file: Path, categories: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    classes = {}
    for entry in categories:
        number = entry.get("id")
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < _MOST_CLASSES:
            raise UserError(f"{file}: category ids must be whole numbers from 0 up, but there is {number!r:.40}.")
        classes[number] = str(entry.get("name", number))
    if not classes:
        raise UserError(f"{file} lists no categories.")
    return classes


def _inside(folder: Path, name: Any, file: Path) -> Path:
    """The path of an image; one that leads out of the folder is refused."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise UserError(f"{file}: an image has no file_name.")
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{file}: the image {name[:80]} lies outside of {folder}.")
    return path


def _number(value: Any) -> float:
    """A number, or NaN for what is none."""
    good = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if good else math.nan


def _size(path: Path) -> tuple[float, float]:
    """Width and height of an image file; infinite where it cannot be read, which is told when it is needed."""
    try:
        with Image.open(path) as image:
            return float(image.width), float(image.height)
    except (OSError, ValueError, SyntaxError):
        return 1e9, 1e9


def _arrays(target: Mapping[str, list[Any]]) -> dict[str, Any]:
    return {
        "boxes": np.array(target["boxes"], np.float32).reshape(-1, 4),
        "labels": np.array(target["labels"], np.int64),
        "iscrowd": np.array(target["iscrowd"], bool),
        "outlines": target["outlines"],
    }


def _wants_masks(model: LoadedModel) -> bool:
    return any(getattr(module, "mask_predictor", None) is not None for module in model.module.modules())


def _has_pycocotools() -> bool:
    try:
        import pycocotools.mask  # noqa: F401 (an extra)
    except ImportError:
        return False
    return True


def _masks(outlines: list[Any], height: int, width: int) -> NDArray[np.uint8]:
    """Masks `(K, H, W)` of outlines: polygons, or runs of pixels.

    Raises:
        ValueError: if an outline is neither.
    """
    from pycocotools import mask as coco  # an extra

    masks = np.zeros((len(outlines), height, width), np.uint8)
    for number, outline in enumerate(outlines):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the library's own, about NumPy
                runs = _runs(outline, height, width)
                if runs is not None:
                    masks[number] = coco.decode(runs)
        except Exception as error:  # whatever the library's C code makes of it
            raise ValueError(f"an outline cannot be read ({type(error).__name__}: {error})") from None
    return masks


def _runs(outline: Any, height: int, width: int) -> Any:
    """An outline as pycocotools encodes it; None where there is none."""
    from pycocotools import mask as coco  # an extra

    if isinstance(outline, list):
        return coco.merge(coco.frPyObjects(outline, height, width)) if outline else None
    if isinstance(outline, dict) and isinstance(outline.get("counts"), list):
        return coco.frPyObjects(outline, height, width)
    return outline
