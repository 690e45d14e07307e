"""Overlap of answers: exact match and F1 as SQuAD's evaluation defines them (Rajpurkar et al. 2016, section 6.1).

Case, punctuation and articles do not count; F1 is that of the words, a word as often as it is there; of several right
answers the best counts. What a task of answering questions needs, which is not here yet.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def normalized(text: str) -> list[str]:
    """The words that count."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def exact(answer: str, right: str) -> float:
    """1 where the words are the same, in the same order, else 0."""
    return float(normalized(answer) == normalized(right))


def f1(answer: str, right: str) -> float:
    """Harmonic mean of precision and recall of the words; where one of them has no word, 1 if neither has."""
    ours, theirs = normalized(answer), normalized(right)
    if not ours or not theirs:
        return float(ours == theirs)
    shared = (Counter(ours) & Counter(theirs)).total()
    return 2 * shared / (len(ours) + len(theirs))


def best(answer: str, rights: Sequence[str]) -> tuple[float, float]:
    """F1 and exact match against the right answer that fits best; without one, the right answer is to say nothing."""
    candidates = rights or ("",)
    return max(f1(answer, right) for right in candidates), max(exact(answer, right) for right in candidates)
