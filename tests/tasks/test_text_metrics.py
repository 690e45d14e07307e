"""Word errors and overlap of answers against the libraries and definitions that others measure by."""

import numpy as np
import pytest

from qanalysis.tasks import answer_overlap, word_errors


def test_word_errors_are_those_of_jiwer():
    jiwer = pytest.importorskip("jiwer")
    random = np.random.default_rng(0)
    pairs = [[" ".join(random.choice(list("abcd"), random.integers(1, 9))) for _ in range(2)] for _ in range(50)]
    edits, words = np.sum([word_errors.errors(said, wanted) for said, wanted in pairs], 0)
    said, wanted = zip(*pairs, strict=True)
    assert edits / words == pytest.approx(jiwer.wer(list(wanted), list(said)))


@pytest.mark.parametrize(
    ("answer", "rights", "f1", "exact"),
    [
        ("The Eiffel Tower.", ("eiffel tower",), 1.0, 1.0),  # case, article, punctuation
        ("in the year 1889", ("1889", "the year 1889"), 2 * (2 / 3) / (2 / 3 + 1), 0.0),  # best of two
        ("the the", ("",), 1.0, 1.0),  # articles alone are nothing
        ("paris", ("london",), 0.0, 0.0),
    ],
)
def test_overlap_of_answers(answer, rights, f1, exact):
    assert answer_overlap.best(answer, rights) == pytest.approx((f1, exact))
