"""Calibration (section 3.4): choosing the range of a tensor from its histogram.

Each calibration is a pure function `(Histogram, QuantizerSpec) -> Range | None`; None stands for an all-zero tensor.
`parse` reads what `str` writes: `max`, `entropy`, `mse`, `percentile:99.99`, `fixed:10`.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qanalysis.numerics.error import quantization_error
from qanalysis.numerics.histogram import BINS, Histogram
from qanalysis.numerics.spec import QuantizerSpec, Range

#: First threshold that the entropy search tries, in bins (as in TensorRT and pytorch-quantization).
FIRST_CANDIDATE = 128

#: The six calibrations of the paper's Table 5.
PAPER_CALIBRATIONS = (
    "max",
    "entropy",
    "percentile:99.9",
    "percentile:99.99",
    "percentile:99.999",
    "percentile:99.9999",
)


class Calibration(Protocol):
    """Chooses a range; `str()` of it is the name that `parse` reads."""

    def __call__(self, histogram: Histogram, spec: QuantizerSpec) -> Range | None:
        """The range, or None where every value is zero."""
        ...


@dataclass(frozen=True)
class Max:
    """The largest magnitude seen: nothing is clipped."""

    def __call__(self, histogram: Histogram, spec: QuantizerSpec) -> Range | None:
        """The exact maximum, bit for bit."""
        return clipped_at(histogram.amax, histogram, spec)

    def __str__(self) -> str:
        return "max"


@dataclass(frozen=True)
class Percentile:
    """The smallest magnitude with at least `percent` % of all |x| (zeros included) at or below it.

    Within one bin (1/2048 of the maximum) above the exact order statistic; 100 is max.

    Raises:
        ValueError: unless `0 < percent <= 100`.
    """

    percent: float

    def __post_init__(self) -> None:
        if not 0 < self.percent <= 100:
            raise ValueError(f"`0 < p <= 100` must hold, but got p={_shortest(self.percent)}")

    def __call__(self, histogram: Histogram, spec: QuantizerSpec) -> Range | None:
        """The right edge of the bin that holds the order statistic, at most the exact maximum."""
        if self.percent == 100:
            return clipped_at(histogram.amax, histogram, spec)
        cumulative = np.cumsum(histogram.magnitudes)
        rank = max(1, int(np.ceil(round(histogram.total * self.percent / 100, 6))))
        bin_ = int(np.searchsorted(cumulative, rank))
        return clipped_at(min((bin_ + 1) * histogram.width, histogram.amax), histogram, spec)

    def __str__(self) -> str:
        return f"percentile:{_shortest(self.percent)}"


@dataclass(frozen=True)
class Entropy:
    """The threshold with the smallest Kullback-Leibler divergence (Migacz 2017), searched as NVIDIA does.

    See `kl_divergence_curve`. Of equal minima the largest threshold wins. Where the tensor has too few bins to search,
    this is max.
    """

    def __call__(self, histogram: Histogram, spec: QuantizerSpec) -> Range | None:
        """The right edge of the best threshold bin, at most the exact maximum."""
        if histogram.amax == 0:
            return None
        curve = kl_divergence_curve(histogram, spec.bits)
        if not len(curve.divergence):
            return clipped_at(histogram.amax, histogram, spec)
        return clipped_at(min(curve.best, histogram.amax), histogram, spec)

    def __str__(self) -> str:
        return "entropy"


@dataclass(frozen=True)
class Mse:
    """The threshold with the smallest mean squared quantization error over the histogram (clipping plus rounding)."""

    def __call__(self, histogram: Histogram, spec: QuantizerSpec) -> Range | None:
        """The best of 256 evenly spaced thresholds up to the maximum."""
        if histogram.amax == 0:
            return None
        candidates = [
            clipped_at(histogram.amax * fraction, histogram, spec) for fraction in np.linspace(1 / 256, 1, 256).tolist()
        ]
        ranges = [range_ for range_ in candidates if range_ is not None]
        errors = [quantization_error(histogram, range_, spec).mse for range_ in ranges]
        return ranges[int(np.argmin(errors))]

    def __str__(self) -> str:
        return "mse"


@dataclass(frozen=True)
class Fixed:
    """A range that somebody chose, whatever the data: [-alpha, alpha], as GELU's outputs in [-10, 10] (Appendix D).

    Affine: the sides on which there are values reach to alpha. An all-zero tensor has no range, as with every other
    calibration.

    Raises:
        ValueError: unless alpha is positive and finite.
    """

    alpha: float

    def __post_init__(self) -> None:
        if not 0 < self.alpha < float("inf"):
            raise ValueError(f"`0 < A < inf` must hold in fixed:A, but got A={_shortest(self.alpha)}")

    def __call__(self, histogram: Histogram, spec: QuantizerSpec) -> Range | None:
        """The chosen range."""
        if histogram.amax == 0:
            return None
        if spec.scheme == "scale":
            return Range(-self.alpha, self.alpha)
        return Range(-self.alpha if histogram.minimum < 0 else 0.0, self.alpha if histogram.maximum > 0 else 0.0)

    def __str__(self) -> str:
        return f"fixed:{_shortest(self.alpha)}"


@dataclass(frozen=True)
class Trained:
    """The range that the network was fine-tuned with (QAT, section 5.2): it comes with the model, not from data.

    `schema.observations.Observations` looks it up; called on a histogram, it can only refuse.
    """

    def __call__(self, histogram: Histogram, spec: QuantizerSpec) -> Range | None:
        """Refuses.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "Calibration 'trained' is for models that were fine-tuned by quantization-aware training; this one brings "
            "no ranges. Choose another calibration."
        )

    def __str__(self) -> str:
        return "trained"


@dataclass(frozen=True)
class DivergenceCurve:
    """KL divergence against threshold.

    Attributes:
        thresholds: `(m,)` right edges of the bins tried, in the tensor's unit.
        divergence: `(m,)` in nats; infinite where the last kept bin is empty and something is clipped.
    """

    thresholds: NDArray[np.float64]
    divergence: NDArray[np.float64]

    @property
    def best(self) -> float:
        """The threshold with the smallest divergence, the largest of equals."""
        return float(self.thresholds[len(self.divergence) - 1 - int(np.argmin(self.divergence[::-1]))])


def kl_divergence_curve(histogram: Histogram, bits: int = 8) -> DivergenceCurve:
    """The whole curve that the entropy calibration minimizes, from prefix sums instead of one histogram a candidate.

    For every candidate i of 128 … n bins of |x|: the reference P is the first i bins, with everything above added to
    its last bin; the candidate Q merges these i bins (without the added mass) into 2^(bits-1) levels and spreads each
    level evenly over its non-empty bins. The count of bin 0 is replaced by that of bin 1 (zeros of ReLU are exact at
    any scale). Divergence is KL(P ‖ Q) of the two normalized distributions.
    """
    return _kl_divergence_curve(histogram.magnitudes.tobytes(), histogram.width, bits)


@lru_cache(maxsize=512)
def _kl_divergence_curve(magnitudes: bytes, width: float, bits: int) -> DivergenceCurve:
    counts = np.frombuffer(magnitudes, np.int64).astype(np.float64)
    n, levels = len(counts), 2 ** (bits - 1)
    first = max(FIRST_CANDIDATE, levels)
    if n < first:
        return DivergenceCurve(np.empty(0), np.empty(0))
    counts[0] = counts[1]
    total = counts.sum()
    if total == 0:
        return DivergenceCurve(np.empty(0), np.empty(0))
    mass = np.concatenate(([0.0], np.cumsum(counts)))
    nonempty = np.concatenate(([0.0], np.cumsum(counts > 0)))
    n_log_n = np.concatenate(([0.0], np.cumsum(_xlogx(counts))))

    candidates = np.arange(first, n + 1)
    levels_of = _levels(levels)
    used = int(np.searchsorted(levels_of.ends, n, "right"))
    ends, starts = levels_of.ends[:used], levels_of.starts[:used]
    level_mass = mass[ends] - mass[starts]
    level_bins = nonempty[ends] - nonempty[starts]
    log_spread = np.log(np.divide(level_mass, level_bins, out=np.ones_like(level_mass), where=level_bins > 0))
    numbers = levels_of.of_candidate[first : n + 1]
    cross = (level_mass * log_spread)[numbers].sum(1)
    log_spread_last = log_spread[numbers[:, -1]]

    last = counts[candidates - 1]
    outside = total - mass[candidates]
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = n_log_n[candidates] - _xlogx(last) + _xlogx(last + outside)
        divergence = (entropy - cross - outside * log_spread_last) / total - np.log(total) + np.log(mass[candidates])
    divergence[(last == 0) & (outside > 0)] = np.inf
    divergence[mass[candidates] == 0] = np.inf
    return DivergenceCurve(candidates * width, divergence)


@dataclass(frozen=True)
class _Levels:
    """The different groups of bins that are a level of some candidate, by their ends; candidates share most of them.

    Attributes:
        starts: `(k,)` first bin.
        ends: `(k,)` bin after the last, ascending.
        of_candidate: `(BINS + 1, levels)` which groups are the levels of the first i bins; of no use below `levels`.
    """

    starts: NDArray[np.intp]
    ends: NDArray[np.intp]
    of_candidate: NDArray[np.intp]


@lru_cache(maxsize=8)
def _levels(levels: int) -> _Levels:
    """Level j of candidate i begins at bin ceil(i * j / levels), exact."""
    edges = -(-np.arange(BINS + 1)[:, None] * np.arange(levels + 1)[None, :] // levels)
    longest = -(-BINS // levels)
    codes = edges[:, 1:] * (longest + 1) + np.diff(edges, axis=1)  # end and length in one number
    if levels < 32:  # few levels are long, of many lengths: a table of all would be larger than what is looked for
        found, numbers = np.unique(codes, return_inverse=True)
    else:
        present = np.zeros((BINS + 1) * (longest + 1), bool)
        present[codes] = True
        found, numbers = np.flatnonzero(present), (np.cumsum(present) - 1)[codes]
    ends, lengths = np.divmod(found, longest + 1)
    return _Levels(ends - lengths, ends, numbers)


def clipped_at(threshold: float, histogram: Histogram, spec: QuantizerSpec) -> Range | None:
    """Range that clips magnitudes above `threshold`; None where the tensor is all zero.

    Scale: [-threshold, threshold]. Affine: the part of it that the data occupies, widened to contain zero.
    """
    if histogram.amax == 0 or threshold <= 0:
        return None
    if spec.scheme == "scale":
        return Range(-threshold, threshold)
    return Range(max(min(histogram.minimum, 0.0), -threshold), min(max(histogram.maximum, 0.0), threshold))


def parse(name: str) -> Calibration:
    """Reads a calibration's name: the inverse of `str`.

    Raises:
        ValueError: for an unknown name or a percentile out of its domain.
    """
    kind, _, argument = name.strip().partition(":")
    plain: dict[str, Calibration] = {"entropy": Entropy(), "max": Max(), "mse": Mse(), "trained": Trained()}
    if kind in plain and not argument:
        return plain[kind]
    if kind == "percentile":
        try:
            percent = float(argument)
        except ValueError:
            raise ValueError(f"A percentile is written percentile:99.99, but got {name!r}.") from None
        return Percentile(percent)
    if kind == "fixed":
        try:
            alpha = float(argument)
        except ValueError:
            raise ValueError(f"A fixed range is written fixed:10, but got {name!r}.") from None
        return Fixed(alpha)
    raise ValueError(
        f"Unknown calibration {name!r}; choose from entropy, max, mse, percentile:P (e.g. percentile:99.99), "
        "fixed:A (e.g. fixed:10)."
    )


def _shortest(number: float) -> str:
    """The shortest text that reads back as the same number: 99.99, 100."""
    return repr(float(number)).removesuffix(".0")


def _xlogx(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(x * np.log(np.where(x > 0, x, 1.0)))
