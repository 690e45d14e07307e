import tracemalloc

import numpy as np
import pytest
import torch

from qanalysis.data.split import ArraySplit, Split
from tests.data_sources.conftest import MEAN, STD, pixel_batch


def test_inputs_are_normalised_per_channel():
    images = pixel_batch(5)
    inputs, _ = next(ArraySplit(images, None, MEAN, STD).batches(5))
    expected = (images.astype(np.float64) / 255 - MEAN) / STD
    np.testing.assert_allclose(inputs.numpy().transpose(0, 2, 3, 1), expected, rtol=1e-6, atol=1e-6)


def test_inputs_are_channels_last_float32_without_another_copy():
    inputs, _ = next(ArraySplit(pixel_batch(4), None, MEAN, STD).batches(4))
    assert inputs.dtype == torch.float32
    assert inputs.shape == (4, 3, 8, 8)
    assert inputs.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_the_samples_do_not_depend_on_the_batch_size(batch_size):
    split = ArraySplit(pixel_batch(7), np.arange(7), MEAN, STD)
    inputs, labels = zip(*split.batches(batch_size), strict=True)
    whole, _ = next(split.batches(7))
    assert torch.equal(torch.cat(inputs), whole)
    assert torch.cat(labels).tolist() == list(range(7))


@pytest.mark.parametrize(("limit", "sizes"), [(None, [4, 4, 2]), (5, [4, 1]), (4, [4]), (99, [4, 4, 2])])
def test_limit_takes_the_first_samples(limit, sizes):
    split = ArraySplit(pixel_batch(10), np.arange(10), MEAN, STD)
    labels = [batch.tolist() for _, batch in split.batches(4, limit)]
    assert [len(batch) for batch in labels] == sizes
    assert [label for batch in labels for label in batch] == list(range(sum(sizes)))


def test_order_says_which_samples_there_are():
    images, order = pixel_batch(10), np.array([9, 0, 4])
    split = ArraySplit(images, np.arange(10), MEAN, STD, order)
    assert len(split) == 3
    assert next(split.batches(3))[1].tolist() == [9, 0, 4]
    assert (split.pixels(2) == images[4]).all()


def test_labels_are_int64_or_none():
    images = pixel_batch(2)
    assert next(ArraySplit(images, np.array([1, 200], np.uint8), MEAN, STD).batches(2))[1].dtype == torch.int64
    assert next(ArraySplit(images, None, MEAN, STD).batches(2))[1] is None


def test_grey_images_keep_their_one_channel_and_are_shown_with_three():
    images = pixel_batch(2, channels=1)[..., 0]
    split = ArraySplit(images, None, (0.5,), (0.5,))
    assert next(split.batches(2))[0].shape == (2, 1, 8, 8)
    assert (split.pixels(1) == images[1][..., None]).all()
    assert split.pixels(1).shape == (8, 8, 3)


def test_the_set_is_never_held_as_float():
    images = pixel_batch(4000, side=16)
    split = ArraySplit(images, None, MEAN, STD)
    tracemalloc.start()
    for _ in split.batches(50):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < images.nbytes  # as float it would be four times that


def test_nothing_is_ever_skipped():
    split: Split = ArraySplit(pixel_batch(2), None, MEAN, STD)
    assert isinstance(split, Split)
    assert split.skipped == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((pixel_batch(2).astype(np.float32), None, MEAN, STD), "uint8"),
        ((pixel_batch(2), np.arange(3), MEAN, STD), "3 and 2"),
        ((pixel_batch(2), None, (0.5,), (0.5,)), "1, 1, 3"),
    ],
    ids=["float pixels", "labels", "channels"],
)
def test_arrays_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ArraySplit(*arguments)


@pytest.mark.parametrize(
    ("batch_size", "limit", "message"), [(0, None, "batch_size >= 1"), (1, 0, "limit=0"), (1, -1, "limit=-1")]
)
def test_no_samples_or_no_batch_are_refused_at_once(batch_size, limit, message):
    with pytest.raises(ValueError, match=message):
        ArraySplit(pixel_batch(2), None, MEAN, STD).batches(batch_size, limit)


def test_an_empty_split_is_refused():
    with pytest.raises(ValueError, match="no samples"):
        ArraySplit(pixel_batch(0), None, MEAN, STD).batches(1)
