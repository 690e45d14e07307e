"""Seeded orders of samples, in which every beginning is a fair choice."""

import numpy as np
from numpy.typing import NDArray

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
