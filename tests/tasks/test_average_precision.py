"""Average precision against pycocotools, COCO's own code, on the same detections."""

import contextlib
import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from qanalysis.tasks import average_precision as ap
from qanalysis.tasks.detection import Detection

SIDE = 64


def scene(rng: np.random.Generator, classes: int, crowds: bool) -> tuple[dict, dict]:
    """What is in an image, and what a detector says: true boxes moved a little, missed, doubled and invented."""
    count = int(rng.integers(0, 6))
    corner = rng.uniform(0, 40, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(6, 24, (count, 2))], 1).round(1)
    labels = rng.integers(1, classes, count)
    crowd = rng.random(count) < (0.25 if crowds else 0)
    said = [box + rng.normal(0, 1.5, 4) for box in boxes for _ in range(int(rng.integers(0, 3)))]
    said += [np.array([x, y, x + 9, y + 9]) for x, y in rng.uniform(0, 50, (int(rng.integers(0, 4)), 2))]
    found = np.array(said).reshape(-1, 4)
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
    target = {"boxes": torch.tensor(boxes), "labels": torch.tensor(labels), "iscrowd": torch.tensor(crowd)}
    image = {
        "boxes": torch.tensor(found),
        "labels": torch.tensor(rng.integers(1, classes, len(found))),
        "scores": torch.tensor(rng.choice(np.linspace(0.05, 1, 12), len(found))),  # ties among them
    }
    return target, image


def coco_says(targets: list[dict], images: list[dict], kind: str) -> tuple[float, float, float]:
    """mAP, AP50 and AP75 of pycocotools, in %."""
    annotations, results = [], []
    for number, (target, image) in enumerate(zip(targets, images, strict=True)):
        for k, (left, top, right, bottom) in enumerate(target["boxes"].tolist()):
            entry = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": int(target["labels"][k]),
                "bbox": [left, top, right - left, bottom - top],
                "area": (right - left) * (bottom - top),
                "iscrowd": int(target["iscrowd"][k]),
            }
            if kind == "segm":
                entry["segmentation"] = runs(target["masks"][k])
                entry["area"] = float(target["masks"][k].sum())
            annotations.append(entry)
        for k, (left, top, right, bottom) in enumerate(image["boxes"].tolist()):
            result = {"image_id": number, "category_id": int(image["labels"][k]), "score": float(image["scores"][k])}
            result["bbox"] = [left, top, right - left, bottom - top]
            if kind == "segm":
                result["segmentation"] = runs(image["masks"][k])
            results.append(result)
    truth = COCO()
    truth.dataset = {
        "images": [{"id": number, "height": SIDE, "width": SIDE} for number in range(len(targets))],
        "annotations": annotations,
        "categories": [{"id": number} for number in range(1, 5)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]  # (thresholds, recalls, classes), all sizes, 100 detections
    of = lambda values: 100 * values[values > -1].mean()  # noqa: E731
    return of(precision), of(precision[:1]), of(precision[5:6])


def runs(mask: torch.Tensor) -> dict:
    return coco_mask.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), crowds=st.booleans())
def test_boxes_are_judged_as_pycocotools_does(seed, crowds):
    rng = np.random.default_rng(seed)
    targets, images = zip(*(scene(rng, 5, crowds) for _ in range(12)), strict=True)
    if not any((~target["iscrowd"]).any() for target in targets) or not any(len(image["boxes"]) for image in images):
        return
    task = Detection(5)
    statistics = task.statistics(list(images), list(targets)).numpy()
    expected = coco_says(list(targets), list(images), "bbox")
    details = task.details(statistics)
    assert (task.accuracy_of(statistics), details["AP50"], details["AP75"]) == pytest.approx(expected, abs=1e-9)


def with_masks(entry: dict) -> dict:
    """Ellipses within the boxes."""
    down, across = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    masks = []
    for left, top, right, bottom in entry["boxes"].tolist():
        x, y = (across - (left + right) / 2) / (right - left), (down - (top + bottom) / 2) / (bottom - top)
        masks.append((x**2 + y**2 <= 0.25).float())
    return entry | {"masks": torch.stack(masks) if masks else torch.zeros(0, SIDE, SIDE)}


@pytest.mark.parametrize("crowds", [False, True])
def test_masks_are_judged_as_pycocotools_does(crowds):
    rng = np.random.default_rng(3)
    targets, images = zip(*(scene(rng, 5, crowds) for _ in range(20)), strict=True)
    targets, images = [with_masks(t) for t in targets], [with_masks(i) for i in images]
    task = Detection(5)
    task.check(type("Raw", (), {"images": images[:1], "heads": ()})(), targets[:1], 1)
    statistics = task.statistics(images, targets).numpy()
    assert task.details(statistics)["mask mAP"] == pytest.approx(coco_says(targets, images, "segm")[0], abs=1e-9)
    assert task.accuracy_of(statistics) == pytest.approx(coco_says(targets, images, "bbox")[0], abs=1e-9)


def test_leaving_out_a_group_is_as_if_it_had_not_been_there():
    rng = np.random.default_rng(1)
    targets, images = zip(*(scene(rng, 5, True) for _ in range(30)), strict=True)
    task = Detection(5)
    statistics = task.statistics(list(images), list(targets)).numpy()
    groups = np.arange(30) % 7
    found = task.accuracies_without(statistics, groups, 7)
    assert found == pytest.approx([task.accuracy_of(statistics[groups != group]) for group in range(7)])


def test_nothing_found_is_zero_and_nothing_there_is_zero():
    task = Detection(3)
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "scores": torch.zeros(0)}
    one = {"boxes": torch.tensor([[1.0, 1, 9, 9]]), "labels": torch.tensor([1])}
    assert task.accuracy_of(task.statistics([none], [one]).numpy()) == 0
    assert task.accuracy_of(task.statistics([none], [none]).numpy()) == 0


def test_the_mean_is_over_classes_that_occur():
    precisions = np.full((3, 10), np.nan)
    precisions[0], precisions[1] = 1.0, 0.5
    assert ap.mean(precisions) == pytest.approx(75)
