import sys

import pytest
import torch

from qanalysis import data
from qanalysis.data.loaded import LoadedData
from qanalysis.data.split import ArraySplit
from tests.data_sources.conftest import MEAN, STD, pixel_batch


class Numbers:
    """Sample i is a 1×1×1 image of i with target i % 2, which it lists, too."""

    classes = ("even", "odd")

    def __init__(self, count, labelled=True):
        self.count, self.labelled = count, labelled
        if labelled:
            self.targets = [i % 2 for i in range(count)]

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        value = torch.full((1, 1, 1), float(i))
        return (value, i % 2) if self.labelled else value


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter([torch.zeros(1, 1, 1)])


class Unreadable(Numbers):
    def __getitem__(self, i):
        raise OSError("disk is gone")


@pytest.fixture
def factory(monkeypatch):
    """`factory(result)`: the name of a factory that returns it."""

    def make(result):
        monkeypatch.setattr(sys.modules[__name__], "made", lambda **options: result, raising=False)
        return f"python:{__name__}:made"

    return make


def numbers_of(split):
    return [int(value) for inputs, _ in split.batches(4) for value in inputs]


@pytest.mark.parametrize("shape", ["tuple", "dict"])
def test_two_or_three_datasets_are_taken(model, factory, shape):
    sets = (Numbers(10), Numbers(6), Numbers(20))
    result = sets if shape == "tuple" else dict(zip(("calibration", "evaluation", "training"), sets, strict=True))
    loaded = data.load(factory(result), model())
    assert [len(split) for split in (loaded.calibration, loaded.evaluation, loaded.train)] == [10, 6, 20]
    assert loaded.labelled
    assert loaded.classes == ("even", "odd")
    assert sorted(numbers_of(loaded.calibration)) == list(range(10))


def test_training_data_may_be_left_out(model, factory):
    assert data.load(factory((Numbers(2), Numbers(2))), model()).train is None


def test_calibration_is_shuffled_by_the_seed_and_balanced(model, factory):
    name = factory((Numbers(30), Numbers(30)))
    first, again, other = (data.load(name, model(), seed) for seed in (0, 0, 1))
    assert numbers_of(first.calibration) == numbers_of(again.calibration) != list(range(30))
    assert numbers_of(other.calibration) != numbers_of(first.calibration)
    assert numbers_of(other.evaluation) == numbers_of(first.evaluation)
    assert next(first.calibration.batches(10))[1].sum() == 5


def test_without_targets_the_data_is_unlabelled(model, factory):
    loaded = data.load(factory((Numbers(8, labelled=False), Numbers(8, labelled=False))), model())
    assert not loaded.labelled
    assert sorted(numbers_of(loaded.evaluation)) == list(range(8))


def test_splits_are_taken_as_they_are(model, factory):
    split = ArraySplit(pixel_batch(3), None, MEAN, STD)
    loaded = data.load(factory((split, split)), model())
    assert loaded.calibration is split
    assert not loaded.labelled


def test_loaded_data_is_taken_as_it_is_under_its_name(model, factory):
    split = ArraySplit(pixel_batch(3), None, MEAN, STD)
    name = factory(LoadedData("", "made up", split, split, None, False, (), ("Beware.",)))
    loaded = data.load(name, model())
    assert (loaded.name, loaded.origin, loaded.warnings) == (name, "made up", ("Beware.",))


def test_options_are_the_factorys_arguments(model, factory, monkeypatch):
    seen = {}

    def made(**options):
        seen.update(options)
        return Numbers(2), Numbers(2)

    name = factory(None)
    monkeypatch.setattr(sys.modules[__name__], "made", made)
    loaded = data.load(f"{name}?root=/data/a+b&size=8", model())
    assert seen == {"root": "/data/a+b", "size": "8"}
    assert loaded.name == f"{name}?root=/data/a+b&size=8"


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (Numbers(3), "but returned Numbers"),
        ((Numbers(3),), "but returned 1 values"),
        ({"train": Numbers(3)}, "but returned a dict with train"),
        ((Numbers(3), None), "but one of them is None"),
        ((Numbers(0), Numbers(3)), "the calibration dataset is empty"),
        ((Numbers(3), Numbers(0)), "the evaluation dataset is empty"),
        ((object(), Numbers(3)), "must be a dataset with __len__ and __getitem__, or batches .* but object is neither"),
        ((iter(()), Numbers(3)), "The calibration data gave no batch: is it an iterator that was used up"),
        ((Numbers(3), Unreadable(3)), r"evaluation data: None of the 3 samples could be read.*disk is gone"),
    ],
    ids=["no tuple", "few", "other keys", "None", "no calibration", "no evaluation", "neither", "used up", "broken"],
)
def test_what_a_factory_must_not_return_is_one_sentence(model, factory, result, message):
    with pytest.raises(ValueError, match=message):
        data.load(factory(result), model())


def test_a_factory_that_fails_is_one_sentence(model, factory, monkeypatch):
    name = factory(None)
    monkeypatch.setattr(sys.modules[__name__], "made", lambda: 1 / 0)
    with pytest.raises(ValueError, match="failed: ZeroDivisionError: division by zero"):
        data.load(name, model())


def test_a_module_that_is_not_there_is_one_sentence(model):
    with pytest.raises(ValueError, match="cannot be imported: No module named 'no_such_module'"):
        data.load("python:no_such_module:made", model())
