"""Answers: who is right class by class, and which samples changed sides, on examples counted by hand."""

import pytest

from qanalysis.schema.results.answers import Answers, ClassAccuracy, flips, per_class

TRUTH = (0, 0, 1, 1, 2, 2)
FP32 = Answers(classes=(0, 0, 1, 2, 1, 0), confidence=(0.9, 0.6, 0.8, 0.5, 0.4, 0.7))
INT8 = Answers(classes=(0, 1, 2, 1, 0, 0), confidence=(0.8, 0.5, 0.6, 0.6, 0.5, 0.6))


def test_right_answers_are_counted_by_class():
    assert per_class(TRUTH, FP32, INT8) == (
        ClassAccuracy(number=0, samples=2, before=2, after=1),
        ClassAccuracy(number=1, samples=2, before=1, after=1),
        ClassAccuracy(number=2, samples=2, before=0, after=0),
    )


def test_lost_samples_come_first_the_surest_before_the_others():
    found = flips(TRUTH, FP32, INT8)
    assert [(flip.sample, flip.kind) for flip in found] == [(2, "lost"), (1, "lost"), (3, "gained"), (4, "other")]
    assert (found[0].before, found[0].after, found[0].before_confidence, found[0].after_confidence) == (1, 2, 0.8, 0.6)


def test_the_same_answers_are_no_flips():
    assert flips(TRUTH, FP32, FP32) == ()


def test_answers_to_other_samples_are_refused():
    with pytest.raises(ValueError, match=r"same samples.*\[5, 6\]"):
        flips(TRUTH[:5], FP32, INT8)


def test_there_is_a_confidence_for_each_answer():
    with pytest.raises(ValueError, match="confidence for each answer"):
        Answers(classes=(1, 2), confidence=(0.5,))
