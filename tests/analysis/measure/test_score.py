"""Accuracies and their intervals, of answers that are right or wrong and of other metrics."""

import math

import numpy as np
import pytest

from qanalysis.analysis.measure.score import change_interval, score
from qanalysis.tasks.classification import Classification
from qanalysis.tasks.segmentation import Segmentation
from qanalysis.tasks.task import Task

CLASSES = Classification()


def hits(k: int, n: int) -> np.ndarray:
    return (np.arange(n) < k).astype(float)[:, None]


def test_score_matches_the_wilson_formula():
    k, n, z = 870, 1000, 1.959964
    p = k / n
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    result = score(CLASSES, hits(k, n))
    assert result.accuracy == pytest.approx(87.0)
    assert result.standard_error == pytest.approx(100 * math.sqrt(0.87 * 0.13 / 1000))
    assert result.accuracy_interval == pytest.approx((100 * (center - half), 100 * (center + half)), abs=1e-4)


def test_a_perfect_score_has_an_interval_below_it():
    result = score(CLASSES, hits(50, 50))
    assert result.accuracy == 100
    assert 90 < result.accuracy_interval[0] < 100
    assert result.accuracy_interval[1] == pytest.approx(100)


def test_paired_interval_is_agresti_and_min_s():
    """Discordant counts b, c and n samples, each outcome raised by a half (Agresti and Min 2005)."""
    before = hits(60, 100)
    after = before.copy()
    after[:5], after[60:63] = 0, 1
    b, c, n = 3 + 0.5, 5 + 0.5, 100 + 2
    half = 1.96 * math.sqrt(b + c - (b - c) ** 2 / n) / n
    expected = (100 * ((b - c) / n - half), 100 * ((b - c) / n + half))
    assert change_interval(CLASSES, after, before) == pytest.approx(expected)


@pytest.mark.parametrize("task", [CLASSES, Segmentation()], ids=["right or wrong", "smooth"])
def test_few_samples_of_which_none_changed_are_no_certainty(task):
    statistics = hits(30, 100) if task is CLASSES else masks(100)
    low, high = change_interval(task, statistics, statistics)
    assert low == pytest.approx(-high)
    assert 0 < high < 2.5


def test_paired_interval_is_narrower_than_unpaired():
    before = hits(800, 1000)
    after = before.copy()
    after[:10] = 0
    low, high = change_interval(CLASSES, after, before)
    assert low < -1.0 < high
    unpaired = 1.96 * math.sqrt(2) * score(CLASSES, before).standard_error
    assert high - low < unpaired


def masks(n: int, worse: float = 0.0) -> np.ndarray:
    """Intersections and unions of three classes in `n` images, the intersections smaller by a share."""
    rng = np.random.default_rng(0)
    union = rng.integers(50, 400, (n, 3)).astype(float)
    inside = union * np.clip(rng.normal(0.7, 0.15, (n, 3)), 0.05, 1)
    noise = np.random.default_rng(1).normal(1 - worse, 0.02, (n, 3)) if worse else 1.0
    return np.concatenate([inside * noise, union], 1)


def test_the_delta_method_is_the_bootstrap_of_mean_iou():
    """2,000 paired bootstraps of 400 images."""
    task, before, after = Segmentation(), masks(400), masks(400, worse=0.03)
    low, high = change_interval(task, after, before)
    rng = np.random.default_rng(2)
    changes = []
    for _ in range(2000):
        chosen = rng.integers(0, 400, 400)
        changes.append(task.accuracy_of(after[chosen]) - task.accuracy_of(before[chosen]))
    expected = np.quantile(changes, (0.025, 0.975))
    width = expected[1] - expected[0]
    assert (low, high) == pytest.approx(tuple(expected), abs=0.15 * width)
    spread = score(task, before)
    alone = [task.accuracy_of(before[rng.integers(0, 400, 400)]) for _ in range(2000)]
    assert spread.standard_error == pytest.approx(np.std(alone), rel=0.1)


class Ratio(Task):
    """A user's metric: a share of sums."""

    def accuracy(self, means):
        return 100 * float(means[0] / means[1])


def test_a_user_s_ratio_gets_its_interval():
    rng = np.random.default_rng(0)
    words = rng.integers(5, 30, 300).astype(float)
    right = words - rng.binomial(words.astype(int), 0.1)
    statistics = np.stack([right, words], 1)
    found = score(Ratio(), statistics)
    residual = right - found.accuracy / 100 * words  # the classical formula of a ratio estimator
    assert found.standard_error == pytest.approx(100 * residual.std() / words.mean() / math.sqrt(300), rel=1e-3)
