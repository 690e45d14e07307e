"""An independent oracle: the paper's equations and NVIDIA's entropy search in plain NumPy, slow and without tricks.

Nothing here imports the library. Ranges are `(beta, alpha)` pairs of floats, everything is computed in float64.
"""

import math
from fractions import Fraction

import numpy as np
from scipy.special import rel_entr


def codes(bits, scheme):
    """Smallest and largest integer of a scheme (section 3.1)."""
    return (
        (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if scheme == "affine" else (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1)
    )


def scale(beta, alpha, bits, scheme):
    """The factor that multiplies: Eq. 1 (affine, range widened to hold zero) and Eq. 6 (scale)."""
    if scheme == "affine":
        return (2**bits - 1) / (max(alpha, 0.0) - min(beta, 0.0))
    return (2 ** (bits - 1) - 1) / max(abs(alpha), abs(beta))


def zero_point(beta, alpha, bits, scheme):
    """Eq. 2; zero for the scale scheme."""
    if scheme == "scale":
        return 0
    z = -np.rint(min(beta, 0.0) * scale(beta, alpha, bits, scheme)) - 2 ** (bits - 1)
    return int(np.clip(z, *codes(bits, scheme)))


def quantize(x, beta, alpha, bits=8, scheme="scale"):
    """Eq. 3, 4 and 7, half to even; z is added after rounding, as ONNX does (Eq. 4 adds it before)."""
    low, high = codes(bits, scheme)
    rounded = np.rint(np.asarray(x, np.float64) * scale(beta, alpha, bits, scheme))
    return np.clip(rounded + zero_point(beta, alpha, bits, scheme), low, high).astype(np.int64)


def dequantize(q, beta, alpha, bits=8, scheme="scale"):
    """Eq. 5 and 8."""
    return (np.asarray(q) - zero_point(beta, alpha, bits, scheme)) / scale(beta, alpha, bits, scheme)


def fake_quantize(x, beta, alpha, bits=8, scheme="scale"):
    """Eq. 12."""
    return dequantize(quantize(x, beta, alpha, bits, scheme), beta, alpha, bits, scheme)


def straight_through(x, beta, alpha):
    """Eq. 13: the derivative of fake quantization by its input."""
    return np.where((x < beta) | (x > alpha), 0.0, 1.0)


def mean_squared_error(x, beta, alpha, bits=8, scheme="scale"):
    """Mean of the squared change that fake quantization makes to the values themselves."""
    x = np.asarray(x, np.float64)
    return float(np.mean((x - fake_quantize(x, beta, alpha, bits, scheme)) ** 2))


def percentile(x, percent):
    """The smallest magnitude with at least `percent` % of all magnitudes at or below it: an exact order statistic."""
    magnitudes = np.sort(np.abs(np.asarray(x, np.float64).ravel()))
    rank = math.ceil(len(magnitudes) * Fraction(str(percent)) / 100)
    return float(magnitudes[max(rank, 1) - 1])


def entropy_search(magnitudes, levels, first=128):
    """NVIDIA's divergences: one for every number of kept bins from `first` to all of them, in order.

    `magnitudes` are the counts of |x| in equal bins from zero. Returns the numbers of kept bins and the divergences.
    """
    bins = np.array(magnitudes, np.float64)
    bins[0] = bins[1]
    kept, divergences = [], []
    for i in range(first, len(bins) + 1):
        reference = bins[:i].copy()
        reference[-1] += bins[i:].sum()
        level = np.arange(i) * levels // i  # which of the equal intervals of [0, i) each bin starts in
        mass = np.bincount(level, weights=bins[:i], minlength=levels)
        nonempty = np.bincount(level, weights=bins[:i] > 0, minlength=levels)
        spread = np.divide(mass, nonempty, out=np.zeros(levels), where=nonempty > 0)
        candidate = np.where(bins[:i] > 0, spread[level], 0.0)
        kept.append(i)
        divergences.append(kullback_leibler(reference, candidate))
    return np.array(kept), np.array(divergences)


def kullback_leibler(p, q):
    """As `scipy.stats.entropy(p, q)` after normalizing both, without its overhead; infinite where q is all zero."""
    return float(rel_entr(p / p.sum(), q / q.sum()).sum()) if q.any() else math.inf


def entropy_choice(kept, divergences):
    """The number of bins to keep: of equal minima the last."""
    return int(kept[np.flatnonzero(divergences == divergences.min())[-1]])


def fold(weight, bias, gamma, beta, mean, variance, eps):
    """Eq. 14 and 16 for a weight whose axis 0 is the output channel: the folded weight and bias."""
    c = np.asarray(gamma, np.float64) / np.sqrt(np.asarray(variance, np.float64) + eps)
    d = np.asarray(beta, np.float64) - np.asarray(mean, np.float64) * c
    shape = (-1, *[1] * (np.ndim(weight) - 1))
    return np.asarray(weight, np.float64) * c.reshape(shape), c * np.asarray(bias, np.float64) + d
