import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.data.order import balanced, by_size, fair, shuffled

LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=80).map(np.array)


@given(LABELS, st.integers(0, 9))
def test_balanced_is_a_permutation(labels, seed):
    assert sorted(balanced(labels, seed)) == list(range(len(labels)))


@given(LABELS, st.integers(0, 9))
def test_every_beginning_is_as_balanced_as_the_classes_allow(labels, seed):
    order = balanced(labels, seed)
    sizes = dict(zip(*np.unique(labels, return_counts=True), strict=True))
    for end in range(1, len(order) + 1):
        taken = {label: int((labels[order[:end]] == label).sum()) for label in sizes}
        unfinished = [taken[label] for label in sizes if taken[label] < sizes[label]]
        if unfinished:  # a class that is not used up may lag behind any other by one sample at most
            assert max(taken.values()) - min(unfinished) <= 1


def test_labels_need_not_start_at_zero_or_be_dense():
    labels = np.array([7, 7, 900, 900])
    assert set(labels[balanced(labels, 0)[:2]]) == {7, 900}


@pytest.mark.parametrize("order", [lambda seed: shuffled(50, seed), lambda seed: balanced(np.arange(50) % 5, seed)])
def test_the_seed_determines_the_order(order):
    assert (order(3) == order(3)).all()
    assert (order(3) != order(4)).any()


def test_samples_without_labels_are_shuffled():
    assert (fair(None, 50, 1) == shuffled(50, 1)).all()


def test_sorting_by_size_keeps_fair_beginnings():
    order = shuffled(700, 3)
    sizes = [(int(n) % 7, int(n) % 3) for n in range(700)]
    found = by_size(order, sizes)
    for end in (32, 64, 128, 256, 512, 700):
        assert sorted(found[:end]) == sorted(order[:end])
    for start, end in ((0, 32), (32, 64), (64, 128), (128, 256), (256, 512), (512, 700)):
        told = [sizes[position] for position in found[start:end]]
        assert told == sorted(told)
