"""Calibrations, against exact order statistics, a plain entropy search and brute force."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.numerics.calibrate import (
    PAPER_CALIBRATIONS,
    Entropy,
    Fixed,
    Max,
    Mse,
    Percentile,
    clipped_at,
    kl_divergence_curve,
    parse,
)
from qanalysis.numerics.histogram import BINS, Histogram
from qanalysis.numerics.spec import QuantizerSpec, Range
from tests import reference

SPEC = QuantizerSpec()
ALL = [Max(), Entropy(), Mse(), Percentile(99.9), Percentile(99.999), Percentile(50), Percentile(100)]
N = 30_000


def normal(seed=0):
    return np.random.default_rng(seed).normal(size=N)


def laplace():
    return np.random.default_rng(1).laplace(size=N)


#: Names say what makes each of them hard.
DISTRIBUTIONS = {
    "signed": normal(),
    "relu": np.maximum(normal(2), 0),
    "relu, nearly all zero": np.maximum(normal(3) - 2.5, 0),
    "heavy tail": np.random.default_rng(4).standard_t(3, N),
    "one-sided heavy tail": np.random.default_rng(5).lognormal(0, 1, N),
    "laplace": laplace(),
    "uniform": np.random.default_rng(6).uniform(-1, 1, N),
    "two humps": np.concatenate([normal(7), normal(8) + 6]),
    "outlier of 12 times the body": np.append(normal(9), 60.0),
    "far outlier, everything else in the first 128 bins": np.append(normal(10) / 40, 100.0),
    "half a body, half zeros": np.append(np.abs(normal(11)), np.zeros(N)),
    "GELU": normal(12) * 0.5 * (1 + np.tanh(0.8 * normal(12))),
}
by_distribution = pytest.mark.parametrize("values", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS.keys())


def histogram_of(values):
    return Histogram.of(np.asarray(values, np.float32))


def to_2101_bins(values):
    """The same distribution in about as many bins as NVIDIA uses, which keeps the plain search short."""
    return values * (2100 / np.abs(values).max())


def from_magnitudes(counts):
    """A histogram of bin width 1 with these counts of |x| on the positive side."""
    counts = np.asarray(counts, np.int64)
    largest = float(np.flatnonzero(counts)[-1]) + 0.5
    full = np.concatenate([np.zeros(BINS, np.int64), counts, np.zeros(BINS - len(counts), np.int64)])
    return Histogram(full, 0, 0.0, largest)


@by_distribution
def test_max_is_the_exact_maximum(values):
    values = np.asarray(values, np.float32)
    assert Max()(Histogram.of(values), SPEC) == Range(-float(np.abs(values).max()), float(np.abs(values).max()))


class TestPercentile:
    @by_distribution
    @pytest.mark.parametrize("percent", [50, 99, 99.9, 99.99, 99.999, 99.9999])
    def test_is_within_one_bin_above_the_order_statistic(self, values, percent):
        values = np.asarray(values, np.float32)
        chosen = Percentile(percent)(Histogram.of(values), SPEC).alpha
        exact = reference.percentile(values, percent)
        assert exact <= chosen
        assert chosen - exact <= 0.002 * np.abs(values).max()

    @by_distribution
    def test_100_is_max(self, values):
        histogram = histogram_of(values)
        assert Percentile(100)(histogram, SPEC) == Max()(histogram, SPEC)

    def test_counts_zeros(self):
        values = np.concatenate([np.zeros(900), np.linspace(1, 100, 100)])
        assert Percentile(90)(Histogram.of(values), SPEC).alpha < 0.1
        assert Percentile(95)(Histogram.of(values), SPEC).alpha == pytest.approx(50, abs=0.1)

    @given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=50), st.floats(0.001, 100))
    def test_never_cuts_more_than_it_says(self, values, percent):
        values = np.array(values, np.float32)
        range_ = Percentile(percent)(Histogram.of(values), SPEC)
        kept = 1.0 if range_ is None else np.mean(np.abs(values.astype(float)) <= range_.alpha)
        assert 100 * kept >= percent - 1e-4

    @pytest.mark.parametrize(("percent", "shown"), [(0, "0"), (-1, "-1"), (120, "120"), (math.nan, "nan")])
    def test_outside_its_domain_is_refused_with_the_value(self, percent, shown):
        with pytest.raises(ValueError, match=rf"^`0 < p <= 100` must hold, but got p={shown}$"):
            Percentile(percent)

    def test_a_value_just_outside_is_not_shown_as_100(self):
        with pytest.raises(ValueError, match=r"p=100\.00000001$"):
            Percentile(100.00000001)


class TestEntropy:
    def oracle(self, histogram, bits):
        return reference.entropy_search(histogram.magnitudes, 2 ** (bits - 1))

    @by_distribution
    def test_equals_the_plain_search(self, values):
        histogram = histogram_of(to_2101_bins(values))
        kept, divergences = self.oracle(histogram, 8)
        curve = kl_divergence_curve(histogram, 8)
        np.testing.assert_array_equal(curve.thresholds, kept * histogram.width)
        np.testing.assert_allclose(curve.divergence, divergences, rtol=1e-7, atol=1e-10)
        chosen = min(reference.entropy_choice(kept, divergences) * histogram.width, histogram.amax)
        assert Entropy()(histogram, SPEC) == Range(-chosen, chosen)

    def test_the_oracles_divergence_is_scipys(self):
        p, q = np.array([1.0, 2.0, 0.0, 5.0]), np.array([2.0, 2.0, 1.0, 1.0])
        assert reference.kullback_leibler(p, q) == pytest.approx(scipy.stats.entropy(p, q), rel=1e-14)
        assert (
            reference.kullback_leibler(p, np.array([1.0, 0, 1, 1])) == scipy.stats.entropy(p, [1, 0, 1, 1]) == math.inf
        )

    @pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7])
    @pytest.mark.parametrize("name", ["signed", "one-sided heavy tail", "relu, nearly all zero"])
    def test_equals_the_plain_search_with_fewer_levels(self, name, bits):
        histogram = histogram_of(to_2101_bins(DISTRIBUTIONS[name]))
        kept, divergences = self.oracle(histogram, bits)
        np.testing.assert_allclose(kl_divergence_curve(histogram, bits).divergence, divergences, rtol=1e-7, atol=1e-10)
        chosen = min(reference.entropy_choice(kept, divergences) * histogram.width, histogram.amax)
        assert Entropy()(histogram, QuantizerSpec(bits)).alpha == chosen

    @given(
        st.lists(st.sampled_from([0, 0, 0, 1, 2, 7, 500]), min_size=130, max_size=160).filter(lambda c: sum(c[1:]) > 0)
    )
    def test_equals_the_plain_search_on_few_bins_with_gaps(self, counts):
        histogram = from_magnitudes(counts)
        if len(histogram.magnitudes) < 128:
            assert Entropy()(histogram, SPEC) == Max()(histogram, SPEC)
            return
        _, divergences = self.oracle(histogram, 8)
        curve = kl_divergence_curve(histogram, 8)
        np.testing.assert_array_equal(np.isinf(curve.divergence), np.isinf(divergences))
        finite = np.isfinite(divergences)
        np.testing.assert_allclose(curve.divergence[finite], divergences[finite], atol=1e-9)

    def test_the_zero_bin_counts_as_its_neighbour(self):
        few, many = np.full(200, 10), np.full(200, 10)
        many[0] = 10**9
        np.testing.assert_array_equal(
            kl_divergence_curve(from_magnitudes(few)).divergence, kl_divergence_curve(from_magnitudes(many)).divergence
        )

    def test_an_empty_last_bin_with_mass_beyond_is_infinite(self):
        counts = np.full(300, 5)
        counts[140:290] = 0
        curve = kl_divergence_curve(from_magnitudes(counts))
        infinite = np.isinf(curve.divergence)
        assert curve.thresholds[infinite].tolist() == list(range(141, 291))

    def test_a_far_outlier_makes_entropy_equal_max(self):
        values = np.append(np.random.default_rng(0).normal(size=20_000) / 40, 100.0)
        histogram = histogram_of(values)
        assert np.isinf(kl_divergence_curve(histogram).divergence[:-1]).all()
        assert Entropy()(histogram, SPEC) == Max()(histogram, SPEC)

    def test_of_equal_minima_the_last_wins(self):
        curve = kl_divergence_curve(from_magnitudes([1] * 200))
        tied = type(curve)(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.5, 0.1, 0.1, 0.7]))
        assert tied.best == 3.0

    def test_clips_a_long_thin_tail(self):
        histogram = histogram_of(DISTRIBUTIONS["heavy tail"])
        assert Entropy()(histogram, SPEC).alpha < 0.5 * histogram.amax

    def test_fewer_bins_than_the_first_candidate_is_max(self):
        histogram = from_magnitudes([3, 1, 4, 1, 5])
        assert len(kl_divergence_curve(histogram).divergence) == 0
        assert Entropy()(histogram, SPEC).alpha == histogram.amax == 4.5

    def test_does_not_change_the_histogram(self):
        histogram = histogram_of(DISTRIBUTIONS["relu"])
        before = histogram.counts.copy()
        Entropy()(histogram, SPEC)
        np.testing.assert_array_equal(histogram.counts, before)


class TestMse:
    @by_distribution
    @pytest.mark.parametrize("spec", [SPEC, QuantizerSpec(4)], ids=["8 bits", "4 bits"])
    def test_is_near_the_best_threshold_on_the_values_themselves(self, values, spec):
        values = np.asarray(values[::3], np.float32)
        histogram = Histogram.of(values)
        thresholds = np.linspace(1 / 64, 1, 64) * histogram.amax
        best = min(reference.mean_squared_error(values, -t, t, spec.bits) for t in thresholds)
        chosen = Mse()(histogram, spec)
        assert reference.mean_squared_error(values, chosen.beta, chosen.alpha, spec.bits) <= 1.03 * best + 1e-12

    def test_fewer_bits_clip_more(self):
        histogram = histogram_of(DISTRIBUTIONS["laplace"])
        chosen = [Mse()(histogram, QuantizerSpec(bits)).alpha for bits in (8, 6, 4, 3)]
        assert chosen == sorted(chosen, reverse=True)
        assert chosen[-1] < 0.7 * chosen[0]


@pytest.mark.parametrize("scheme", ["scale", "affine"])
@pytest.mark.parametrize("calibration", ALL, ids=str)
def test_an_all_zero_tensor_has_no_range(calibration, scheme):
    assert calibration(Histogram.of(np.zeros(100)), QuantizerSpec(8, scheme)) is None


@by_distribution
@pytest.mark.parametrize("calibration", ALL, ids=str)
def test_scale_ranges_are_symmetric_and_within_the_maximum(calibration, values):
    histogram = histogram_of(values)
    range_ = calibration(histogram, SPEC)
    assert range_.beta == -range_.alpha
    assert 0 < range_.alpha <= histogram.amax


@pytest.mark.parametrize("values", [normal() + 10, -normal() - 10, normal() + 1, np.abs(normal())], ids=range(4))
@pytest.mark.parametrize("calibration", ALL, ids=str)
def test_affine_ranges_contain_zero_and_nothing_that_is_not_there(calibration, values):
    histogram = Histogram.of(values)
    range_ = calibration(histogram, QuantizerSpec(8, "affine"))
    assert min(histogram.minimum, 0) <= range_.beta <= 0 <= range_.alpha <= max(histogram.maximum, 0)


def test_affine_max_is_the_exact_extent():
    histogram = Histogram.of(np.array([-0.3, 0.1, 2.7]))
    assert Max()(histogram, QuantizerSpec(8, "affine")) == Range(-0.3, 2.7)


class TestFixed:
    """A range that somebody chose (Appendix D): the data decide nothing but on which sides there are values."""

    @pytest.mark.parametrize("values", [normal(), 100 * normal(), np.abs(normal())], ids=["small", "large", "positive"])
    def test_scale_is_what_was_chosen(self, values):
        assert Fixed(10)(Histogram.of(values), SPEC) == Range(-10, 10)

    @pytest.mark.parametrize(
        ("values", "range_"),
        [([-0.17, 50.0], Range(-10, 10)), ([0.0, 3.0], Range(0, 10)), ([-3.0, 0.0], Range(-10, 0))],
    )
    def test_affine_leaves_out_a_side_without_values(self, values, range_):
        assert Fixed(10)(Histogram.of(np.array(values)), QuantizerSpec(8, "affine")) == range_

    def test_an_all_zero_tensor_has_no_range(self):
        assert Fixed(10)(Histogram.of(np.zeros(9)), SPEC) is None

    def test_of_gelu_keeps_negative_values_that_max_loses(self):
        gelu = Histogram.of(np.array([-0.17, 50.0]))
        steps = {name: parse(name)(gelu, SPEC).alpha / 127 for name in ("max", "fixed:10")}
        assert round(-0.17 / steps["max"]) == 0
        assert round(-0.17 / steps["fixed:10"]) == -2  # Fig. 7b: two negative values


def test_clipped_at_cuts_an_affine_range_on_both_sides():
    histogram = Histogram.of(np.array([-3.0, 0.0, 9.0]))
    affine = QuantizerSpec(8, "affine")
    assert clipped_at(5.0, histogram, affine) == Range(-3, 5)
    assert clipped_at(2.0, histogram, affine) == Range(-2, 2)
    assert clipped_at(0.0, histogram, affine) is None


@pytest.mark.parametrize("calibration", ALL, ids=str)
@pytest.mark.parametrize("value", [1e-45, 1e-38, 3e38], ids=str)
def test_extreme_floats_have_a_range(calibration, value):
    range_ = calibration(histogram_of([value, -value, 0.0]), SPEC)
    assert 0 < range_.alpha <= float(np.float32(value))


percents = st.floats(0, 100, exclude_min=True)
calibrations = st.one_of(
    st.sampled_from([Max(), Entropy(), Mse()]), st.builds(Percentile, percents), st.builds(Fixed, percents)
)


@given(calibrations)
def test_parse_is_the_inverse_of_str(calibration):
    assert parse(str(calibration)) == calibration


@pytest.mark.parametrize(
    "name",
    ["max", "entropy", "mse", "percentile:99.99", "percentile:100", "percentile:99.9999", "fixed:10", "fixed:0.5"],
)
def test_str_is_the_inverse_of_parse(name):
    assert str(parse(name)) == name


def test_all_calibrations_of_table_5_can_be_parsed():
    assert [str(parse(name)) for name in PAPER_CALIBRATIONS] == list(PAPER_CALIBRATIONS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("kl", r"Unknown calibration 'kl'; choose from entropy, max, mse, percentile:P"),
        ("", r"Unknown calibration ''; choose from"),
        ("max:3", r"Unknown calibration 'max:3'"),
        ("percentile", r"A percentile is written percentile:99\.99, but got 'percentile'\."),
        ("percentile:many", r"but got 'percentile:many'\."),
        ("percentile:101", r"`0 < p <= 100` must hold, but got p=101$"),
        ("fixed", r"A fixed range is written fixed:10, but got 'fixed'\."),
        ("fixed:0", r"`0 < A < inf` must hold in fixed:A, but got A=0$"),
        ("fixed:-3", r"but got A=-3$"),
        ("fixed:inf", r"but got A=inf$"),
        ("fixed:nan", r"but got A=nan$"),
        ("percentile:nan", r"`0 < p <= 100` must hold, but got p=nan$"),
    ],
)
def test_names_that_cannot_be_read(name, message):
    with pytest.raises(ValueError, match=message):
        parse(name)
