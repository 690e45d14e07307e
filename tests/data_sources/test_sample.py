import importlib.util
import shutil

import numpy as np
import pytest
import torch

from qanalysis import data
from qanalysis.data import sample
from qanalysis.schema.catalog import samples_folder

FOLDER = samples_folder() / "data"


@pytest.fixture(scope="module")
def index():
    return sample.read_index(FOLDER)


@pytest.fixture(scope="module")
def parts(index):
    return {part: sample.images(FOLDER, index, part) for part in index["parts"]}


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("convert_cifar10", samples_folder() / "convert_cifar10.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pixels_are_those_that_were_put_in():
    assert sample.damaged(FOLDER) == []


@pytest.mark.parametrize(("part", "count"), [("test", 2000), ("calibration", 1024), ("train", 8000)])
def test_each_part_is_complete_and_balanced(index, parts, part, count):
    sizes = np.bincount(sample.labels(index, part))
    assert parts[part].shape == (count, 32, 32, 3)
    assert len(sizes) == 10
    assert sizes.max() - sizes.min() <= (0 if count % 10 == 0 else 1)


def test_no_image_is_in_two_parts(parts):
    images = [image.tobytes() for part in parts.values() for image in part]
    assert len(set(images)) == len(images) == 2000 + 1024 + 8000


def test_every_file_is_under_12_mb():
    assert max(path.stat().st_size for path in FOLDER.iterdir()) < 12e6


def test_the_splits_hold_the_parts(model, index, parts):
    loaded = data.load("sample:cifar10", model())
    assert [len(split) for split in (loaded.calibration, loaded.evaluation, loaded.train)] == [1024, 2000, 8000]
    assert loaded.labelled
    assert loaded.classes[3] == "cat"
    inputs, labels = next(loaded.evaluation.batches(5))
    assert labels.tolist() == sample.labels(index, "test")[:5].tolist()
    assert (loaded.evaluation.pixels(4) == parts["test"][4]).all()
    expected = (parts["test"][:5] / 255 - (0.5, 0.25, 0.75)) / (0.5, 0.25, 0.125)
    np.testing.assert_allclose(inputs.permute(0, 2, 3, 1), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("split", ["calibration", "evaluation", "train"])
def test_every_beginning_is_balanced(model, split):
    _, labels = next(getattr(data.load("sample:cifar10", model(), seed=5), split).batches(505))
    assert sorted(np.bincount(labels)) == [50] * 5 + [51] * 5


def test_the_seed_changes_what_is_calibrated_on_but_not_what_is_evaluated(model):
    first, again, other = (data.load("sample:cifar10", model(), seed) for seed in (0, 0, 1))

    def beginning(split):
        return next(split.batches(64))[0]

    assert torch.equal(beginning(first.calibration), beginning(again.calibration))
    assert not torch.equal(beginning(first.calibration), beginning(other.calibration))
    assert torch.equal(beginning(first.evaluation), beginning(other.evaluation))


def test_nothing_is_decoded_before_it_is_asked_for(model, monkeypatch):
    decoded = []
    original = sample.images
    monkeypatch.setattr(sample, "images", lambda *arguments: decoded.append(arguments[2]) or original(*arguments))
    loaded = data.load("sample:cifar10", model())
    assert decoded == []
    next(loaded.calibration.batches(1))
    next(loaded.calibration.batches(1))
    assert decoded == ["calibration"]


def test_mean_and_std_are_options(model):
    loaded = data.load("sample:cifar10?mean=0&std=0.5", model())
    inputs, _ = next(loaded.evaluation.batches(1))
    assert inputs[0].permute(1, 2, 0).numpy() == pytest.approx(loaded.evaluation.pixels(0) / 255 / 0.5, rel=1e-6)
    assert loaded.name == "sample:cifar10?mean=0&std=0.5"


def test_an_assumed_normalisation_is_told(model):
    loaded = data.load("sample:cifar10", model(mean=None, std=None, input_shape=(3, 32, 32)))
    (warning,) = loaded.warnings
    assert "CIFAR-10's own mean and standard deviation" in warning


def test_another_input_size_is_told(model):
    (warning,) = data.load("sample:cifar10", model(input_shape=(3, 224, 224))).warnings
    assert "224×224" in warning
    assert "32×32" in warning


def test_a_missing_folder_is_one_sentence(model, monkeypatch, tmp_path):
    monkeypatch.setenv("QANALYSIS_SAMPLES", str(tmp_path))
    with pytest.raises(ValueError, match=r"sample data is not in .*QANALYSIS_SAMPLES"):
        data.load("sample:cifar10", model())


def test_a_broken_file_is_one_sentence(model, monkeypatch, tmp_path):
    shutil.copytree(FOLDER, tmp_path / "data")
    (tmp_path / "data" / "test.webp").write_bytes(b"RIFF, but no more")
    monkeypatch.setenv("QANALYSIS_SAMPLES", str(tmp_path))
    with pytest.raises(ValueError, match=r"damaged.*test.webp"):
        next(data.load("sample:cifar10", model()).evaluation.batches(1))


def test_the_script_chooses_balanced_parts_without_overlap(script):
    rng = np.random.default_rng(0)
    full = {"y_test": rng.permutation(3000) % 10, "y_train": rng.permutation(12000) % 10}
    full |= {"x_test": np.arange(3000), "x_train": np.arange(12000)}  # each image is its own number
    parts = script.subset(full)
    assert {part: len(images) for part, (images, _) in parts.items()} == {
        "test": 2000,
        "calibration": 1024,
        "train": 8000,
    }
    assert not set(parts["calibration"][0]) & set(parts["train"][0])
    assert all(
        (labels == full[f"y_{'test' if part == 'test' else 'train'}"][images]).all()
        for part, (images, labels) in parts.items()
    )
    assert set(np.bincount(parts["train"][1])) == {800}


@pytest.mark.parametrize("count", [1, 40, 41, 97])
def test_what_the_script_writes_is_read_back_without_loss(script, monkeypatch, tmp_path, count):
    monkeypatch.setattr(script, "IMAGES_PER_FILE", 80)
    images = np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), np.uint8)
    script.write_subset({"test": (images, np.arange(count) % 10)}, tmp_path)
    index = sample.read_index(tmp_path)
    assert (sample.images(tmp_path, index, "test") == images).all()
    assert (sample.labels(index, "test") == np.arange(count) % 10).all()
    assert len(index["parts"]["test"]["files"]) == (2 if count > 80 else 1)
    assert sample.damaged(tmp_path) == []


def test_changed_pixels_are_noticed(script, tmp_path):
    images = np.zeros((3, 32, 32, 3), np.uint8)
    script.write_subset({"test": (images, np.arange(3))}, tmp_path)
    kept = (tmp_path / "labels.json").read_text()
    script.write_subset({"test": (images + 1, np.arange(3))}, tmp_path)
    (tmp_path / "labels.json").write_text(kept)
    assert sample.damaged(tmp_path) == ["test"]
