"""Folders of images and masks."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qanalysis import data
from qanalysis.schema.errors import UserError


def written(folder: Path, names=("images", "masks"), count: int = 6, size=(8, 8), mode: str = "L") -> str:
    for name in names:
        (folder / name).mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", size, (10 * number, 0, 0)).save(folder / names[0] / f"{number}.jpg", quality=100)
        mask = np.zeros((size[1], size[0]), np.uint8)
        mask[2:4, 2:6] = number + 1
        Image.fromarray(mask).convert(mode).save(folder / names[1] / f"{number}.png")
    return f"masks:{folder}"


@pytest.mark.parametrize("names", [("images", "masks"), ("JPEGImages", "SegmentationClass"), ("images", "labels")])
def test_pairs_of_one_name(tmp_path, model, names):
    loaded = data.load(written(tmp_path, names), model())
    assert (loaded.task, len(loaded.calibration), len(loaded.evaluation)) == ("segmentation", 1, 5)
    inputs, targets = next(iter(loaded.evaluation.batches(5)))
    assert inputs.shape == (5, 3, 8, 8)
    assert targets.shape == (5, 8, 8)
    for image, mask in zip(inputs, targets, strict=True):
        number = int(mask.max())
        assert (mask == number).sum() == 8
        assert float(image[0, 0, 0]) == pytest.approx((10 * (number - 1) / 255 - 0.5) / 0.5, abs=0.02)


def test_images_and_masks_are_resized_alike(tmp_path, model):
    loaded = data.load(written(tmp_path, size=(16, 16)), model())
    inputs, targets = next(iter(loaded.evaluation.batches(5)))
    assert inputs.shape[-2:] == targets.shape[-2:] == (8, 8)
    assert set(targets.unique().tolist()) <= set(range(7))  # classes are never mixed


def test_train_and_val_and_names_of_classes(tmp_path, model):
    for part in ("train", "val"):
        written(tmp_path / part)
    (tmp_path / "classes.txt").write_text("ground\ncat\n")
    (tmp_path / "val" / "images" / "alone.png").write_bytes((tmp_path / "val" / "images" / "0.jpg").read_bytes())
    loaded = data.load(f"masks:{tmp_path}", model())
    assert (len(loaded.evaluation), loaded.classes) == (6, ("ground", "cat"))
    assert any("1 images" in warning and "have no mask" in warning for warning in loaded.warnings)


def test_what_is_wrong_is_a_sentence(tmp_path, model):
    with pytest.raises(UserError, match="must hold folders images and masks"):
        data.load(f"masks:{tmp_path}", model())
    written(tmp_path / "colours", mode="RGB")
    with pytest.raises(UserError, match="its mask has the channels RGB"):
        list(data.load(f"masks:{tmp_path / 'colours'}", model()).evaluation.batches(2))
    written(tmp_path / "one", count=1)
    with pytest.raises(UserError, match="There is one pair"):
        data.load(f"masks:{tmp_path / 'one'}", model())


def test_a_mask_of_another_size_is_left_out_and_named(tmp_path, model):
    name = written(tmp_path, count=8)
    Image.new("L", (4, 4)).save(tmp_path / "masks" / "3.png")
    loaded = data.load(name, model())
    kept = sum(len(inputs) for split in (loaded.calibration, loaded.evaluation) for inputs, _ in split.batches(2))
    assert kept == 7
    said = "".join((*loaded.calibration.skipped, *loaded.evaluation.skipped))
    assert "its mask has the size 4×4, the image 8×8" in said
