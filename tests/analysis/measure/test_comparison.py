"""Comparisons of logits against scipy, and what they sum up to."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.comparison import Comparison, answered, change, compare
from qanalysis.analysis.measure.recall import recall
from qanalysis.tasks.classification import Classification

TASK = Classification()


def against(given: torch.Tensor, reference: torch.Tensor, labels: torch.Tensor | None = None) -> Comparison:
    return compare(TASK, given, answered(TASK, reference, labels))


@pytest.fixture
def logits():
    rng = np.random.default_rng(0)
    reference = torch.from_numpy(rng.normal(size=(40, 5)).astype(np.float32))
    return reference + torch.from_numpy(rng.normal(scale=0.5, size=(40, 5)).astype(np.float32)), reference


def test_divergence_is_scipy_s(logits):
    given, reference = logits
    expected = [entropy(p, q) for p, q in zip(softmax(reference.numpy(), 1), softmax(given.numpy(), 1), strict=True)]
    compared = against(given, reference)
    assert compared.divergence == pytest.approx(expected, rel=1e-5)
    found = change(TASK, compared)
    assert found["divergence"] == pytest.approx(np.mean(expected))
    half = 1.96 * np.std(expected, ddof=1) / np.sqrt(40)
    assert found["divergence_interval"] == pytest.approx((np.mean(expected) - half, np.mean(expected) + half), rel=1e-4)


def test_without_labels_right_is_what_fp32_answers(logits):
    given, reference = logits
    compared = against(given, reference)
    assert compared.reference_statistics.all()
    same = (given.argmax(1) == reference.argmax(1)).sum().item()
    assert change(TASK, compared)["accuracy"] == pytest.approx(100 * same / 40)


def test_with_labels_both_models_are_judged_by_them(logits):
    given, reference = logits
    labels = torch.arange(40) % 5
    compared = against(given, reference, labels)
    assert compared.statistics[:, 0].tolist() == (given.argmax(1) == labels).tolist()
    assert compared.reference_statistics[:, 0].tolist() == (reference.argmax(1) == labels).tolist()


def test_no_change_has_no_noise(logits):
    found = change(TASK, against(logits[1], logits[1]))
    assert found["sqnr"] is None
    assert found["divergence"] == 0
    assert found["relative"] == 0
    assert found["change_interval"][0] < 0 < found["change_interval"][1]  # forty samples are few


def test_parts_joined_are_the_whole(logits):
    given, reference = logits
    whole = against(given, reference)
    parts = [against(given[a : a + 8], reference[a : a + 8]) for a in range(0, 40, 8)]
    assert change(TASK, Comparison.joined(parts)) == change(TASK, whole)


def test_logits_that_are_not_finite_are_refused(logits):
    broken = logits[0].clone()
    broken[3, 1] = float("nan")
    with pytest.raises(ValueError, match="NaN or infinity"):
        against(broken, logits[1])


def test_a_batch_is_measured_once(logits, tmp_path):
    calls = []

    def measure() -> tuple[dict[str, Comparison], int]:
        calls.append(1)
        return {"": against(*logits), "layer1.0": against(logits[1], logits[1])}, 123

    first = recall(Checkpoint(tmp_path), "batch", measure)
    second = recall(Checkpoint(tmp_path), "batch", measure)
    assert len(calls) == 1
    assert (second.kept_bytes, second.seconds) == (first.kept_bytes, first.seconds)
    assert list(second.comparisons) == ["", "layer1.0"]
    for name, comparison in second.comparisons.items():
        assert change(TASK, comparison) == change(TASK, first.comparisons[name])


def test_a_tenth_more_is_twenty_decibels(logits):
    found = change(TASK, against(1.1 * logits[1], logits[1]))
    assert found["sqnr"] == pytest.approx(20, abs=1e-3)
