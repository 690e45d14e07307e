import time

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from qanalysis.data.deferred import DeferredSplit
from qanalysis.data.split import ArraySplit, DatasetSplit, Split
from tests.data_sources.conftest import MEAN, STD, pixel_batch

BROKEN = OSError("broken file")


class Numbers:
    """Sample i is a 1×2×2 image of i, its target i % 3; those in `broken` cannot be read, later ones come sooner."""

    def __init__(self, count, broken=(), error=BROKEN, pause=0.0):
        self.count, self.broken, self.error, self.pause = count, broken, error, pause
        self.read = []

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        self.read.append(i)
        time.sleep(self.pause * (self.count - i))
        if i in self.broken:
            raise self.error
        return torch.full((1, 2, 2), float(i)), i % 3


class Items(list):
    """A dataset of the items given."""


def values(split, batch_size=2, limit=None):
    return [int(sample[0, 0, 0]) for inputs, _ in split.batches(batch_size, limit) for sample in inputs]


@pytest.mark.parametrize("workers", [0, 3])
def test_samples_come_in_order_with_their_targets(workers):
    split = DatasetSplit(Numbers(7, pause=0.002), [6, 0, 3, 5, 1], workers=workers)
    batches = list(split.batches(2))
    assert [len(inputs) for inputs, _ in batches] == [2, 2, 1]
    assert values(split) == [6, 0, 3, 5, 1]
    assert torch.cat([targets for _, targets in batches]).tolist() == [0, 0, 0, 2, 1]
    assert batches[0][1].dtype == torch.int64


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_samples_are_left_out_counted_and_named(workers):
    split = DatasetSplit(Numbers(5, broken={1, 3}), workers=workers, name="picture {}".format)
    assert values(split) == [0, 2, 4]
    (sentence,) = split.skipped
    assert sentence == (
        "2 of 5 samples could not be read and are left out: picture 1 (broken file); picture 3 (broken file)."
    )


def test_a_second_pass_does_not_count_them_again():
    split = DatasetSplit(Numbers(5, broken={1}))
    assert values(split) == values(split)
    assert split.skipped[0].startswith("1 of 5 samples could not be read and is left out")


def test_many_unreadable_samples_are_one_sentence():
    split = DatasetSplit(Numbers(50, broken=set(range(40))))
    assert values(split) == list(range(40, 50))
    assert split.skipped[0].count("broken file") == 5
    assert split.skipped[0].endswith("and 35 more.")


@pytest.mark.parametrize("workers", [0, 2])
def test_limit_counts_readable_samples(workers):
    assert values(DatasetSplit(Numbers(9, broken={0, 2}), workers=workers), limit=3) == [1, 3, 4]


@pytest.mark.parametrize("workers", [0, 2])
def test_no_more_samples_are_read_than_asked_for(workers):
    numbers = Numbers(50)
    assert len(values(DatasetSplit(numbers, workers=workers), batch_size=4, limit=6)) == 6
    assert sorted(numbers.read) == list(range(6))


def test_a_pass_that_is_given_up_stops_reading():
    numbers = Numbers(500)
    batches = DatasetSplit(numbers, workers=2).batches(4)
    next(batches)
    batches.close()
    assert len(numbers.read) <= 4 + 2 * 4 + 1


@pytest.mark.parametrize("workers", [0, 2])
def test_if_nothing_can_be_read_a_sentence_names_the_first(workers):
    split = DatasetSplit(Numbers(3, broken={0, 1, 2}), workers=workers)
    with pytest.raises(ValueError, match=r"None of the 3 samples could be read.*sample 0 \(broken file\)"):
        list(split.batches(2))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_mistake_in_the_dataset_is_no_unreadable_sample(workers):
    split = DatasetSplit(Numbers(3, broken={1}, error=KeyError("colour")), workers=workers)
    with pytest.raises(ValueError, match="sample 1 failed in the dataset: KeyError: 'colour'"):
        list(split.batches(3))


def test_without_targets_there_are_none():
    split = DatasetSplit(Items([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)]))
    assert [targets for _, targets in split.batches(1)] == [None, None]


def test_numpy_inputs_and_tensor_targets_are_taken():
    split = DatasetSplit(Items([(np.ones((1, 2, 2)), torch.tensor(4)), (np.zeros((1, 2, 2)), np.int32(5))]))
    inputs, targets = next(split.batches(2))
    assert inputs.dtype == torch.float32
    assert targets.tolist() == [4, 5]


def test_torch_datasets_are_taken_in_channels_last():
    split = DatasetSplit(TensorDataset(torch.rand(4, 3, 5, 5), torch.arange(4)))
    inputs, targets = next(split.batches(4))
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    assert targets.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"pixel_values": "none"}, "float tensors.*sample 0 is dict"),
        (torch.zeros(1, 2, 2, dtype=torch.uint8), "float tensors.*sample 0 is uint8"),
        ((torch.zeros(1, 2, 2), "cat"), "class numbers or real numbers, but that of sample 0 is 'cat'"),
        ((torch.zeros(1, 2, 2), -1), "class numbers"),
    ],
    ids=["dict", "uint8", "word", "negative"],
)
def test_other_kinds_of_samples_are_refused(item, message):
    with pytest.raises(ValueError, match=message):
        list(DatasetSplit(Items([item])).batches(1))


def test_inputs_of_several_shapes_are_refused():
    with pytest.raises(ValueError, match=r"one shape.*\(1, 2, 2\).*\(1, 2, 3\)"):
        list(DatasetSplit(Items([torch.zeros(1, 2, 2), torch.zeros(1, 2, 3)])).batches(2))


def test_targets_for_some_samples_only_are_refused():
    with pytest.raises(ValueError, match="either all samples or none"):
        list(DatasetSplit(Items([(torch.zeros(1, 2, 2), 1), torch.zeros(1, 2, 2)])).batches(2))


def test_pixels_undo_the_normalisation():
    images = pixel_batch(3)
    inputs, _ = next(ArraySplit(images, None, MEAN, STD).batches(3))
    split = DatasetSplit(TensorDataset(inputs, torch.arange(3)), [2, 0], mean=MEAN, std=STD)
    assert (split.pixels(0) == images[2]).all()


def test_pixels_are_stretched_if_the_normalisation_is_unknown():
    split = DatasetSplit(Items([torch.tensor([[[-1.0, 0.0, 3.0]]])]))
    assert split.pixels(0)[0].tolist() == [[0, 0, 0], [64, 64, 64], [255, 255, 255]]


def test_pixels_of_an_unreadable_sample_say_why():
    with pytest.raises(ValueError, match=r"sample 1 could not be read \(broken file\)"):
        DatasetSplit(Numbers(2, broken={1})).pixels(1)


@pytest.mark.parametrize(("batch_size", "limit"), [(0, None), (1, 0)])
def test_no_samples_or_no_batch_are_refused_at_once(batch_size, limit):
    with pytest.raises(ValueError, match="got"):
        DatasetSplit(Numbers(2)).batches(batch_size, limit)


def test_a_deferred_split_is_loaded_once_and_not_before_it_is_used():
    loads = []

    def load():
        loads.append(1)
        return DatasetSplit(Numbers(3, broken={1}), mean=(0.0,), std=(1.0,))

    split: Split = DeferredSplit(3, load)
    assert (len(split), split.skipped, loads) == (3, (), [])
    assert values(split) == [0, 2]
    assert split.pixels(0).shape == (2, 2, 3)
    assert len(split.skipped) == 1
    assert loads == [1]
