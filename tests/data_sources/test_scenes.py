"""Scenes composed from small images."""

import numpy as np
import pytest
import torch

from qanalysis import data
from qanalysis.data.scenes import LARGEST, SIDE, VISIBLE, boxes_around, compose
from qanalysis.models.cifar.detector import SIDE as DETECTED
from qanalysis.schema.errors import UserError
from tests.data_sources.conftest import pixel_batch

IMAGES, LABELS = pixel_batch(20, 32), np.arange(20) % 10


@pytest.mark.parametrize("number", range(12))
def test_objects_are_where_their_masks_are(number):
    scene = compose(IMAGES, LABELS, number)
    assert scene.pixels.shape == (SIDE, SIDE, 3)
    assert 1 <= len(scene.labels) <= 5
    assert not (scene.masks.sum(0) > 1).any()  # a pixel shows one object
    assert (boxes_around(scene.masks) == scene.boxes).all()
    sides = scene.boxes[:, 2:] - scene.boxes[:, :2]
    assert (sides > 5).all()
    assert (sides <= 1.2 * LARGEST).all()
    areas = scene.masks.sum((1, 2))
    assert (areas > VISIBLE * 0.6 * 25 * 25).all()


def test_a_scene_follows_from_its_number_and_seed_alone():
    one, again, other = compose(IMAGES, LABELS, 3), compose(IMAGES, LABELS, 3), compose(IMAGES, LABELS, 3, seed=1)
    assert (one.pixels == again.pixels).all()
    assert not np.array_equal(one.pixels, other.pixels)


def test_the_detector_is_made_for_scenes():
    assert DETECTED == SIDE


def test_detectors_get_boxes_and_segmenters_masks(model):
    boxes, masks = (data.load("sample:scenes", model(task=task)) for task in ("detection", "segmentation"))
    images, targets = next(iter(boxes.evaluation.batches(3)))
    assert [image.shape for image in images] == [(3, SIDE, SIDE)] * 3
    assert 0 <= float(images[0].min()) <= float(images[0].max()) <= 1
    inputs, maps = next(iter(masks.evaluation.batches(3)))
    assert inputs.shape == (3, 3, SIDE, SIDE)
    for target, classes in zip(targets, maps, strict=True):
        assert set(target["labels"].tolist()) == set(classes.unique().tolist()) - {0}
    assert boxes.classes == masks.classes
    assert boxes.classes[0] == "ground"
    assert len(boxes.classes) == 11
    assert (boxes.evaluation.pixels(0) == masks.evaluation.pixels(0)).all()


def test_targets_can_be_chosen(model):
    loaded = data.load("sample:scenes?targets=masks", model())
    assert isinstance(next(iter(loaded.evaluation.batches(1)))[1], torch.Tensor)
    with pytest.raises(UserError, match="boxes or masks"):
        data.load("sample:scenes?targets=words", model())
