"""The histogram: exact counts that depend on the values alone, not on how they arrive."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qanalysis.numerics.histogram import BINS, MIN_EXPONENT, Histogram, coarsen, exponent_for

#: Every finite float32, denormal, tiny and huge alike.
float32s = st.floats(width=32, allow_nan=False, allow_infinity=False)
arrays = hnp.arrays(np.float32, st.integers(1, 60), elements=float32s)
binades = st.builds(lambda m, e: np.float32(math.ldexp(m, e)), st.floats(-1, 1, width=32), st.integers(-60, 60))


def merged(parts):
    histogram = Histogram.of(parts[0])
    for part in parts[1:]:
        histogram = histogram.merge(Histogram.of(part))
    return histogram


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=50_000),
        np.maximum(np.random.default_rng(1).normal(size=50_000), 0),
        np.random.default_rng(2).standard_cauchy(50_000),
        -np.random.default_rng(3).exponential(size=50_000),
        np.arange(-4096, 4096, dtype=np.float64),
    ],
    ids=["normal", "relu", "cauchy", "negative", "every edge"],
)
def test_counts_equal_numpys(values):
    histogram = Histogram.of(values)
    edges = np.arange(-BINS, BINS + 1) * histogram.width  # exact: multiples of a power of two
    edges[-1] = np.nextafter(edges[-1], np.inf)  # NumPy closes the last bin, ours are all half open
    expected, _ = np.histogram(values, edges)
    np.testing.assert_array_equal(histogram.counts, expected)
    assert histogram.counts.dtype == np.int64


@given(arrays)
def test_nothing_is_lost_and_the_extremes_are_exact(values):
    histogram = Histogram.of(values)
    assert histogram.total == values.size
    assert (histogram.minimum, histogram.maximum) == (float(values.min()), float(values.max()))
    assert histogram.amax == float(np.abs(values).max())


@given(arrays)
def test_sign_is_kept_whatever_the_magnitude(values):
    assert Histogram.of(values).counts[:BINS].sum() == (values < 0).sum()


@given(arrays)
def test_a_bin_is_at_most_a_2048th_of_the_largest_magnitude(values):
    histogram = Histogram.of(values)
    if histogram.amax >= 2.0 ** (MIN_EXPONENT + 12):
        assert histogram.width <= histogram.amax / 2048
    else:
        assert histogram.exponent == MIN_EXPONENT


@given(arrays, st.data())
def test_any_split_into_batches_gives_the_same_histogram(values, data):
    cuts = sorted(data.draw(st.lists(st.integers(1, values.size), max_size=6)))
    parts = [part for part in np.split(values, cuts) if part.size]
    assert merged(parts) == Histogram.of(values)


@given(arrays, st.randoms(use_true_random=False))
def test_any_order_gives_the_same_histogram(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    assert merged([np.array([value]) for value in shuffled]) == Histogram.of(values)


@given(arrays, arrays)
def test_merging_is_commutative(a, b):
    assert Histogram.of(a).merge(Histogram.of(b)) == Histogram.of(b).merge(Histogram.of(a))


@given(arrays, arrays, arrays)
def test_merging_is_associative(a, b, c):
    a, b, c = Histogram.of(a), Histogram.of(b), Histogram.of(c)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))


@given(st.lists(binades, min_size=2, max_size=30))
def test_growth_over_many_binades_keeps_every_value(values):
    values = np.array(values)
    assert merged([values[i : i + 1] for i in range(len(values))]) == Histogram.of(values)


@pytest.mark.parametrize("exponent", [-30, -3, 0, 5, 40])
def test_a_negative_value_on_an_edge_lies_in_the_bin_that_begins_there(exponent):
    width = 2.0**exponent
    histogram = Histogram.of(np.array([4095.0, -3.0, -1.0, 0.0, 1.0]) * width)
    assert histogram.width == width
    assert np.flatnonzero(histogram.counts).tolist() == [BINS - 3, BINS - 1, BINS, BINS + 1, BINS + 4095]


def test_a_negative_power_of_two_may_be_the_largest_magnitude():
    histogram = Histogram.of(np.array([-8.0]))
    assert (histogram.amax, histogram.total, len(histogram.magnitudes)) == (8.0, 1, 2048)
    assert len(histogram.magnitudes) * histogram.width == 8.0


@pytest.mark.parametrize(
    "value", [1e-45, -1e-45, 1.1754944e-38, 3.4028235e38, -3.4028235e38, 1.0, -1.0, 4096.0], ids=str
)
def test_a_single_value(value):
    histogram = Histogram.of(np.array([value], np.float32))
    assert histogram.total == 1
    assert histogram.minimum == histogram.maximum == float(np.float32(value))
    (position,) = np.flatnonzero(histogram.counts)
    left = (position - BINS) * histogram.width
    assert left <= histogram.minimum < left + histogram.width


def test_the_smallest_float64_beside_the_largest_keeps_its_sign():
    histogram = Histogram.of(np.array([-5e-324, 1.7e308]))
    assert histogram.counts[BINS - 1] == 1
    assert histogram.counts[BINS] == 0


def test_all_zeros():
    histogram = Histogram.of(np.zeros((3, 4), np.float32))
    assert (histogram.amax, histogram.total, histogram.counts[BINS]) == (0.0, 12, 12)
    assert histogram.magnitudes.tolist() == [12]


def test_zeros_merge_into_anything():
    values = np.array([3.0, -7.0, 0.0])
    assert Histogram.of(np.zeros(2)).merge(Histogram.of(values)) == Histogram.of(np.append(values, [0.0, 0.0]))


@given(arrays)
def test_magnitudes_are_counts_of_the_absolute_values_within_one_bin(values):
    histogram = Histogram.of(values)
    lower = np.cumsum(histogram.magnitudes)
    assert lower[-1] == values.size
    magnitudes = np.sort(np.abs(values.astype(np.float64)))
    for index in np.flatnonzero(histogram.magnitudes):
        edge = (index + 1) * histogram.width
        assert (magnitudes < edge).sum() <= lower[index] <= (magnitudes <= edge).sum()


def test_centers_are_the_middles():
    histogram = Histogram.of(np.array([4095.0]))
    assert histogram.centers[BINS] == 0.5
    assert histogram.centers[0] == -BINS + 0.5


@pytest.mark.parametrize(
    ("magnitude", "exponent"), [(0.0, -100), (1e-45, -100), (2047.5, -1), (2048.0, 0), (4095.99, 0), (4096.0, 1)]
)
def test_exponent(magnitude, exponent):
    assert exponent_for(magnitude) == exponent


@given(st.integers(0, 20))
def test_coarsening_counts_every_value_at_the_wider_bin(doublings):
    values = np.array([-4096, -4095, -1, 0, 1, 2, 2047, 4095])
    counts = np.bincount(values + BINS, minlength=2 * BINS)
    expected = np.bincount(np.floor(values / 2.0**doublings).astype(int) + BINS, minlength=2 * BINS)
    np.testing.assert_array_equal(coarsen(counts, doublings), expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match="finite values, but got NaN or infinity"):
        Histogram.of(np.array([0.0, bad]))


def test_an_empty_array_is_refused():
    with pytest.raises(ValueError, match="at least one value, but got an empty array"):
        Histogram.of(np.empty((0, 3)))


def test_histograms_differ_where_the_values_do():
    assert Histogram.of(np.array([1.0, 2.0])) != Histogram.of(np.array([1.5, 2.0]))
    assert Histogram.of(np.array([1.0])) != "histogram"
