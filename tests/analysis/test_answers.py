"""Answers sample by sample: they add up to what PTQ measures, and the pictures are those of the changed samples."""

import numpy as np
import pytest

import qanalysis
from qanalysis import data, models
from qanalysis.analysis.answers import IMAGES
from qanalysis.schema.results.answers import AnswersResult, flips, per_class

SMALL = {
    "model": "sample:resnet20",
    "bits": 3,
    "calibration_samples": 64,
    "evaluation_samples": 150,
    "calibrations": ("max", "percentile:99.9"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("answers")


@pytest.fixture(scope="module")
def result(folder) -> AnswersResult:
    found = qanalysis.run("answers", folder=folder, **SMALL)
    assert isinstance(found, AnswersResult)
    return found


def test_they_add_up_to_the_accuracies_of_ptq(result):
    ptq = qanalysis.run("ptq", **SMALL)
    for row in ptq.rows:
        classes = per_class(result.truth, result.fp32, result.quantized[row.calibration])
        assert 100 * sum(one.after for one in classes) / 150 == pytest.approx(row.accuracy)
        assert 100 * sum(one.before for one in classes) / 150 == pytest.approx(ptq.fp32)
        changed = flips(result.truth, result.fp32, result.quantized[row.calibration])
        assert 100 * (1 - len(changed) / 150) == pytest.approx(row.agreement)


def test_pictures_are_those_of_the_samples_that_changed(result, folder):
    changed = {
        flip.sample for answers in result.quantized.values() for flip in flips(result.truth, result.fp32, answers)
    }
    assert len(changed) > 10
    assert set(result.pictured) == changed
    images = np.load(folder / IMAGES)["images"]
    split = data.load("sample:cifar10", models.load("sample:resnet20"), 0).evaluation
    for place in (0, len(result.pictured) - 1):
        assert (images[place] == split.pixels(result.pictured[place])).all()


def test_nothing_is_kept_without_a_folder():
    found = qanalysis.run("answers", **{**SMALL, "evaluation_samples": 20, "calibration_samples": 16})
    assert (found.images, found.pictured) == (None, ())


def test_confidences_are_probabilities(result):
    for answers in (result.fp32, *result.quantized.values()):
        assert min(answers.confidence) >= 0.1 - 1e-4  # the largest of ten
        assert max(answers.confidence) <= 1


def test_unreadable_images_do_not_shift_the_pictures(tmp_path):
    from PIL import Image

    for first, kind in enumerate(("n01440764", "n01443537")):
        (tmp_path / "set" / kind).mkdir(parents=True)
        for number in range(12):
            grey = np.full((48, 48, 3), 20 * number + 10 * first, np.uint8)  # each its own
            Image.fromarray(grey).save(tmp_path / "set" / kind / f"{number}.png")
    (tmp_path / "set" / "n01440764" / "1.png").write_bytes(b"no image")
    name = f"imagefolder:{tmp_path / 'set'}"
    keep = tmp_path / "kept"
    keep.mkdir()
    params = {"model": "torchvision:resnet18@none", "data": name, "bits": 2, "calibration_samples": 4}
    found = qanalysis.run("answers", folder=keep, **params)
    assert isinstance(found, AnswersResult)
    split = data.load(name, models.load("torchvision:resnet18@none"), 0).evaluation
    total = sum(len(inputs) for inputs, _ in split.batches(8))
    assert len(found.truth) == total
    places = split.readable()
    assert len(places) == total
    assert found.pictured, "2 bits change some answers of random weights"
    images = np.load(keep / IMAGES)["images"]
    for place, sample in enumerate(found.pictured):
        assert images[place].mean() == pytest.approx(split.pixels(int(places[sample])).mean(), abs=1)
