import numpy as np
import pytest
from scipy.special import rel_entr

from qanalysis.numerics.calibrate import kl_divergence_curve
from qanalysis.numerics.candidate import candidate
from qanalysis.numerics.histogram import Histogram

VALUES = {
    "relu": np.maximum(np.random.default_rng(0).normal(size=5000), 0),
    "laplace": np.random.default_rng(1).laplace(size=5000),
    "outlier": np.append(np.random.default_rng(2).normal(size=5000), 40.0),
}


@pytest.fixture(params=VALUES)
def histogram(request):
    return Histogram.of(VALUES[request.param])


@pytest.mark.parametrize("bits", [8, 4])
def test_every_candidate_has_the_divergence_of_the_curve(histogram, bits):
    curve = kl_divergence_curve(histogram, bits)
    first = round(curve.thresholds[0] / histogram.width)
    for kept in range(first, first + len(curve.thresholds), 37):
        found = candidate(histogram, kept, bits)
        assert found.divergence == pytest.approx(curve.divergence[kept - first], abs=1e-9)
        assert found.cutoff == curve.thresholds[kept - first]


def test_both_are_distributions_and_the_divergence_is_scipys(histogram):
    found = candidate(histogram, 700, 5)
    assert found.reference.sum() == pytest.approx(1)
    assert found.merged.sum() == pytest.approx(1)
    assert found.divergence == pytest.approx(rel_entr(found.reference, found.merged).sum())


def test_a_level_is_flat_over_its_filled_bins(histogram):
    found = candidate(histogram, 640, 4)
    assert len(found.edges) == 9
    for start, end in zip(found.edges[:-1], found.edges[1:], strict=True):
        assert len(set(found.merged[start:end][found.merged[start:end] > 0])) <= 1


def test_what_is_clipped_is_in_the_last_bin():
    histogram = Histogram.of(np.concatenate((np.linspace(0.01, 1, 1000), np.full(10, 2.0))))
    kept = len(histogram.magnitudes) * 3 // 4
    found = candidate(histogram, kept, 4)
    assert found.clipped == pytest.approx(100 * 10 / 1010, rel=0.02)
    assert found.reference[-1] == pytest.approx(found.clipped / 100)


@pytest.mark.parametrize("kept", [127, 10_000])
def test_what_is_not_searched_is_refused(histogram, kept):
    with pytest.raises(ValueError, match=f"but got kept={kept}"):
        candidate(histogram, kept)
