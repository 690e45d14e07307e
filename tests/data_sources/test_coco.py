"""COCO's files: boxes, classes, layouts, and what is wrong with them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from qanalysis import data
from qanalysis.schema.errors import UserError

BOXES = [
    {"id": 1, "image_id": 10, "category_id": 3, "bbox": [2, 3, 10, 8], "segmentation": [[2, 3, 12, 3, 12, 11, 2, 11]]},
    {"id": 2, "image_id": 10, "category_id": 1, "bbox": [0, 0, 5, 5], "iscrowd": 1},
    {"id": 3, "image_id": 11, "category_id": 1, "bbox": [20, 10, 30, 30], "iscrowd": 0},
]  # fmt: skip


def content(**changes: Any) -> dict[str, Any]:
    return {
        "images": [
            {"id": number, "file_name": f"{number}.png", "width": 32, "height": 24} for number in (10, 11, 12, 13)
        ],
        "annotations": BOXES,
        "categories": [{"id": 1, "name": "cat"}, {"id": 3, "name": "dog"}],
    } | changes


def written(folder: Path, where: str = "annotations.json", **changes: Any) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for number in (10, 11, 12, 13):
        Image.new("RGB", (32, 24), (number, 0, 0)).save(folder / f"{number}.png")
    path = folder / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content(**changes)))
    return f"coco:{folder}"


def everything(split) -> dict[int, tuple[torch.Tensor, dict]]:
    """Red of the first pixel → image and target: it tells which image it is."""
    found = {}
    for images, targets in split.batches(2):
        for image, target in zip(images, targets, strict=True):
            found[round(float(image[0, 0, 0]) * 255)] = (image, target)
    return found


def test_images_come_as_they_are_with_boxes_by_their_corners(tmp_path, model):
    loaded = data.load(written(tmp_path), model())
    assert (loaded.task, loaded.classes) == ("detection", ("", "cat", "", "dog"))
    found = everything(loaded.calibration) | everything(loaded.evaluation)
    assert set(found) == {10, 11, 12, 13}
    image, target = found[10]
    assert image.shape == (3, 24, 32)
    assert target["boxes"].tolist() == [[2, 3, 12, 11], [0, 0, 5, 5]]
    assert target["labels"].tolist() == [3, 1]
    assert target["iscrowd"].tolist() == [False, True]
    assert found[12][1]["boxes"].shape == (0, 4)
    assert found[11][1]["boxes"].tolist() == [[20, 10, 32, 24]]  # cut off at the border
    assert any("reach over their image" in warning for warning in loaded.warnings)


def test_train_and_val_of_coco_s_layout(tmp_path, model):
    for part in ("train2017", "val2017"):
        written(tmp_path / part, where=f"../annotations/instances_{part}.json")
    (tmp_path / "annotations" / "captions_val2017.json").write_text(json.dumps(content()))
    loaded = data.load(f"coco:{tmp_path}", model())
    assert len(loaded.evaluation) == len(loaded.calibration) == 4
    assert "instances_val2017" in loaded.origin


def test_a_batch_ends_where_the_size_changes(tmp_path, model):
    name = written(tmp_path)
    Image.new("RGB", (40, 24)).save(tmp_path / "12.png")
    loaded = data.load(name, model())
    for images, _ in (*loaded.calibration.batches(4), *loaded.evaluation.batches(4)):
        assert len({image.shape for image in images}) == 1


def test_masks_are_read_where_the_model_gives_some(tmp_path, model):
    pytest.importorskip("pycocotools")
    masked = nn.Module()
    masked.mask_predictor = nn.Identity()
    rest = [{**box, "segmentation": {"size": [24, 32], "counts": [0, 24 * 32]}} for box in BOXES[1:]]
    loaded = data.load(written(tmp_path, annotations=[BOXES[0], *rest]), model(module=masked))
    found = everything(loaded.calibration) | everything(loaded.evaluation)
    masks = found[10][1]["masks"]
    assert masks.shape == (2, 24, 32)
    assert masks[0].sum() == 80
    assert masks[1].all()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"annotations": []}, "no annotation of a box"),
        ({"images": []}, "lists no images"),
        ({"categories": []}, "lists no categories"),
        ({"annotations": [{**BOXES[0], "category_id": 7}]}, "unknown category 7; the file lists 1, 3"),
        ({"annotations": [{**BOXES[0], "image_id": 99}]}, "of image 99, which is not listed"),
        ({"annotations": [{**BOXES[0], "bbox": [1, 2, 3]}]}, "must be four numbers"),
        ({"annotations": [{**BOXES[0], "bbox": [1, 2, 3, float("nan")]}]}, "must be four numbers"),
        ({"annotations": [{**BOXES[0], "bbox": [90, 90, 5, 5]}]}, "no annotation of a box in an image"),
        ({"categories": [{"id": -1}]}, "category ids must be whole numbers"),
        ({"categories": [{"id": 10**9}]}, "category ids must be whole numbers"),
        ({"images": [{"id": 10, "file_name": "../../etc/passwd"}]}, "lies outside of"),
        ({"images": [{"id": 10, "file_name": "10.png"}] * 2}, "is there twice"),
        ({"images": {"a": 1}}, "has no list 'images'"),
    ],
)
def test_what_is_wrong_is_a_sentence(tmp_path, model, changes, says):
    with pytest.raises(UserError, match=says):
        data.load(written(tmp_path, **changes) + f"?annotations={tmp_path}/annotations.json", model())


def test_a_folder_without_annotations_says_how_to_name_them(tmp_path, model):
    (tmp_path / "other.json").write_text("[1, 2]")
    with pytest.raises(UserError, match=r"has no annotation file .*annotations=FILE"):
        data.load(f"coco:{tmp_path}", model())


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\x00"])
def test_a_corrupt_file_is_a_sentence(tmp_path, model, text):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"cannot be read as JSON|COCO's form"):
        data.load(f"coco:{tmp_path}?annotations={path}", model())


def test_boxes_with_nothing_inside_are_left_out_and_told(tmp_path, model):
    loaded = data.load(written(tmp_path, annotations=[BOXES[0], {**BOXES[2], "bbox": [50, 5, 3, 3]}]), model())
    assert any("1 boxes have nothing inside" in warning for warning in loaded.warnings)
    assert np.isfinite([len(loaded.evaluation)]).all()
