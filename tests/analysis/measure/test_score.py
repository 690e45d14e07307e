"""Accuracies, their intervals, and what differs from fp32."""

import math

import numpy as np
import pytest

from qanalysis.analysis.measure.score import Outputs, paired_interval, score, sqnr


def hits(k: int, n: int) -> np.ndarray:
    return np.arange(n) < k


def test_score_matches_the_wilson_formula():
    k, n, z = 870, 1000, 1.959964
    p = k / n
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    result = score(hits(k, n))
    assert result.accuracy == pytest.approx(87.0)
    assert result.standard_error == pytest.approx(100 * math.sqrt(0.87 * 0.13 / 1000))
    assert result.accuracy_interval == pytest.approx((100 * (center - half), 100 * (center + half)), abs=1e-4)


def test_a_perfect_score_has_an_interval_below_it():
    result = score(hits(50, 50))
    assert result.accuracy == 100
    assert 90 < result.accuracy_interval[0] < 100
    assert result.accuracy_interval[1] == pytest.approx(100)


def test_paired_interval_is_agresti_and_min_s():
    """Discordant counts b, c and n samples, each outcome raised by a half (Agresti and Min 2005)."""
    before = hits(60, 100)
    after = before.copy()
    after[:5], after[60:63] = False, True
    b, c, n = 3 + 0.5, 5 + 0.5, 100 + 2
    half = 1.96 * math.sqrt(b + c - (b - c) ** 2 / n) / n
    assert paired_interval(after, before) == pytest.approx((100 * ((b - c) / n - half), 100 * ((b - c) / n + half)))


def test_few_samples_of_which_none_changed_are_no_certainty():
    low, high = paired_interval(hits(30, 100), hits(30, 100))
    assert low == pytest.approx(-high)
    assert 1.5 < high < 2.5


def test_paired_interval_is_narrower_than_unpaired():
    before = hits(800, 1000)
    after = before.copy()
    after[:10] = False
    low, high = paired_interval(after, before)
    assert low < -1.0 < high
    unpaired = 1.96 * math.sqrt(2) * score(before).standard_error
    assert high - low < unpaired


def test_sqnr_of_a_tenth_is_twenty_decibels():
    logits = np.random.default_rng(0).normal(size=(50, 10)).astype(np.float32)
    noisy = Outputs(logits * np.float32(1.1), None)
    assert sqnr(noisy, Outputs(logits, None)) == pytest.approx(20, abs=1e-3)


def test_sqnr_of_no_change_is_none():
    logits = np.ones((4, 3), np.float32)
    assert sqnr(Outputs(logits, None), Outputs(logits, None)) is None


def test_without_labels_hits_are_agreement_with_the_reference():
    reference = Outputs(np.eye(3, dtype=np.float32), None)
    other = Outputs(np.eye(3, dtype=np.float32)[[0, 2, 2]], None)
    assert other.hits(reference).tolist() == [True, False, True]
