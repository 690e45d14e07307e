"""BLEU (Papineni et al. 2002) of one reference, as sacrebleu computes it with its defaults.

Tokens are those of NIST's mteval-v13a; an order without a match counts half of what the one before it would
(Chen and Cherry 2014, method 3). Own code, since the package is needed for nothing else; tests hold it against it.
"""

import math
import re
from collections import Counter

import numpy as np
from numpy.typing import NDArray

ORDERS = 4
#: Statistics of a sentence: matches and n-grams of each order, tokens of the translation and of the reference.
SIZE = 2 * ORDERS + 2

_SYMBOLS = re.compile(r"([{-~\[-` -&(-+:-@/])")
_AFTER_NO_DIGIT = re.compile(r"([^0-9])([.,])")
_BEFORE_NO_DIGIT = re.compile(r"([.,])([^0-9])")
_DASH_AFTER_DIGIT = re.compile(r"([0-9])(-)")
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))


def tokens(text: str) -> list[str]:
    """Words, numbers and symbols of a sentence as mteval-v13a parts them."""
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, character in _ENTITIES:
        text = text.replace(entity, character)
    text = _SYMBOLS.sub(r" \1 ", f" {text} ")
    text = _AFTER_NO_DIGIT.sub(r"\1 \2 ", text)
    text = _BEFORE_NO_DIGIT.sub(r" \1 \2", text)
    return _DASH_AFTER_DIGIT.sub(r"\1 \2 ", text).split()


def counts(translation: str, reference: str) -> NDArray[np.float64]:
    """What BLEU is made of, `(SIZE,)`: to be summed over sentences."""
    said, wanted = tokens(translation.rstrip()), tokens(reference.rstrip())
    matches, totals = [], []
    for order in range(1, ORDERS + 1):
        ours, theirs = _grams(said, order), _grams(wanted, order)
        matches.append((ours & theirs).total())
        totals.append(ours.total())
    return np.array([*matches, *totals, len(said), len(wanted)], np.float64)


def score(sums: NDArray[np.float64]) -> float:
    """BLEU from 0 to 100 from summed counts, `(SIZE,)`."""
    matches, totals = sums[:ORDERS], sums[ORDERS : 2 * ORDERS]
    said, wanted = sums[2 * ORDERS :]
    if not matches.any() or not totals.all():
        return 0.0
    halved, logs = 1.0, 0.0
    for match, total in zip(matches, totals, strict=True):
        if not match:
            halved *= 2
        logs += math.log(match / total if match else 1 / (halved * total))
    brevity = min(0.0, 1 - wanted / said)
    return 100 * math.exp(brevity + logs / ORDERS)


def _grams(words: list[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + order]) for i in range(len(words) - order + 1))
