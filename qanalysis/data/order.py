"""Seeded orders of samples, in which every beginning is a fair choice."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qanalysis.schema.errors import UserError

CALIBRATION_SAMPLES = 1024
"""How many training samples are set aside for calibration: as many as the paper's experiments need (Section 5)."""


def shuffled(count: int, seed: int) -> NDArray[np.int64]:
    """The numbers under `count` in random order."""
    return np.random.default_rng(seed).permutation(count)


def balanced(labels: NDArray[np.integer], seed: int) -> NDArray[np.int64]:
    """A random order of positions in `labels` `(N,)`, every beginning of which holds the classes as equally as can be.

    While no class has run out, the numbers of any two classes among the first k differ by at most one.
    """
    order = shuffled(len(labels), seed)
    by_class = np.argsort(labels[order], kind="stable")
    sizes = np.unique(labels, return_counts=True)[1]
    rank = np.empty(len(order), np.int64)  # how many of its own class come before a sample
    rank[by_class] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return order[np.argsort(rank, kind="stable")]


def fair(labels: NDArray[np.integer] | None, count: int, seed: int) -> NDArray[np.int64]:
    """A balanced order where labels are known, else a shuffled one."""
    return shuffled(count, seed) if labels is None else balanced(labels, seed)


def by_size(order: NDArray[np.int64], sizes: Sequence[tuple[int, ...]]) -> NDArray[np.int64]:
    """Positions sorted by size within parts of the order, so that batches are of one size.

    The parts end at 32, 64, 128, 256, 512, … samples, 256 at most in one: so many of the first samples are as fair a
    choice as in the order that is given; of other beginnings the last part lacks its largest.

    Args:
        order: positions `(N,)`.
        sizes: of every position.
    """
    ends = [32, 64, 128, *range(256, len(order) + 256, 256)]
    parts = [order[start:end].tolist() for start, end in zip([0, *ends], ends, strict=False)]
    return np.array([at for part in parts for at in sorted(part, key=lambda at: sizes[at])], np.int64)


def parted(count: int, training: int | None, seed: int, what: str) -> tuple[NDArray[np.int64], ...]:
    """Positions to calibrate on, to evaluate on and to train on, of samples without labels to balance.

    Args:
        count: samples to evaluate on.
        training: samples of a part of its own for the other two; None where a quarter has to be set aside.
        seed: of the choice of calibration samples.
        what: what is counted, for the sentence.

    Raises:
        UserError: if there is but one sample for both.
    """
    if training is not None:
        order = shuffled(training, seed)
        return order[:CALIBRATION_SAMPLES], shuffled(count, 0), order[CALIBRATION_SAMPLES:]
    if count < 2:
        raise UserError(f"There is one {what}; at least two are needed, one to calibrate and one to evaluate.")
    order = shuffled(count, seed)
    aside = min(CALIBRATION_SAMPLES, max(1, count // 4))
    return order[:aside], order[aside:], order[:0]
