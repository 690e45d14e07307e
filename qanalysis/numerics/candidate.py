"""One candidate of the entropy search written out: what `calibrate.kl_divergence_curve` does for all at once."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from qanalysis.numerics.calibrate import FIRST_CANDIDATE
from qanalysis.numerics.histogram import Histogram


@dataclass(frozen=True)
class CandidateDistribution:
    """The two distributions that are compared for one cutoff.

    Attributes:
        cutoff: right edge of the last bin kept, in the tensor's unit.
        reference: `(i,)` P, the kept bins with everything above added to the last; sums to 1.
        merged: `(i,)` Q, the kept bins merged into levels, each spread over its bins that are not empty; sums to 1.
        edges: `(levels + 1,)` bins at which the levels begin, and the end.
        clipped: share of values above the cutoff, in %.
        divergence: KL(P ‖ Q) in nats; infinite where P has mass in a bin in which Q has none.
    """

    cutoff: float
    reference: NDArray[np.float64]
    merged: NDArray[np.float64]
    edges: NDArray[np.int64]
    clipped: float
    divergence: float


def candidate(histogram: Histogram, kept: int, bits: int = 8) -> CandidateDistribution:
    """The candidate that keeps the first `kept` bins of |x|.

    Args:
        histogram: of the tensor.
        kept: number of bins.
        bits: of the quantizer: 2^(bits-1) levels.

    Raises:
        ValueError: if that many bins are not searched.
    """
    counts = histogram.magnitudes.astype(np.float64)
    levels = int(2 ** (bits - 1))
    if not max(FIRST_CANDIDATE, levels) <= kept <= len(counts):
        raise ValueError(
            f"`{max(FIRST_CANDIDATE, levels)} <= kept <= {len(counts)}` must hold for this tensor, but got kept={kept}"
        )
    counts[0] = counts[1]  # zeros are exact at any scale
    inside = counts[:kept]
    outside = float(counts[kept:].sum())
    reference = inside.copy()
    reference[-1] += outside
    edges = -(-kept * np.arange(levels + 1) // levels)
    merged = np.zeros(kept)
    for start, end in pairwise(edges.tolist()):
        group = inside[start:end]
        filled = group > 0
        if filled.any():
            merged[start:end][filled] = group.sum() / filled.sum()
    p, q = reference / counts.sum(), merged / inside.sum()
    mass = p > 0
    divergence = math.inf if (q[mass] == 0).any() else float((p[mass] * np.log(p[mass] / q[mass])).sum())
    return CandidateDistribution(
        kept * histogram.width, p, q, edges.astype(np.int64), 100 * outside / float(counts.sum()), divergence
    )
