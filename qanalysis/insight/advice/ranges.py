"""Rules of the advice that need the histograms of a calibration: small negatives, and ranges that still move."""

from collections.abc import Iterable, Mapping

from qanalysis.insight.advice.results import degenerate, more, outliers
from qanalysis.schema.observations import Growth, Observations
from qanalysis.schema.results.advice import Advice

#: Smallest values of Swish, hard Swish and GELU lie here (Appendix D).
_DEEPEST, _SHALLOWEST = -0.38, -0.1
#: Of a range by the second half of the images, from which on it has not settled, and of how many activations.
_MOVES, _MANY = 0.05, 0.1


def of_calibration(
    observations: Observations, ranges: Mapping[str, Mapping[str, float | None]], bits: int
) -> tuple[Advice, ...]:
    """Advice on a calibration.

    Args:
        observations: the histograms.
        ranges: calibration → activation → largest magnitude represented.
        bits: of the activations.
    """
    return (
        *outliers(ranges),
        *degenerate(ranges),
        *_negatives(observations, ranges, bits),
        *_moving(observations),
    )


def _negatives(
    observations: Observations, ranges: Mapping[str, Mapping[str, float | None]], bits: int
) -> Iterable[Advice]:
    """Activations after Swish or GELU whose negative values all round to zero at the range of max."""
    largest = 2 ** (bits - 1) - 1
    lost = {}
    for tensor, histogram in observations.histograms.items():
        amax = ranges.get("max", {}).get(str(tensor))
        low = histogram.minimum
        if amax and _DEEPEST <= low <= _SHALLOWEST and histogram.maximum > -5 * low and -low * largest / amax < 0.5:
            lost[str(tensor)] = amax
    if lost:
        first = max(lost, key=lambda key: lost[key])
        low = next(h.minimum for t, h in observations.histograms.items() if str(t) == first)
        yield Advice(
            rule="negatives-lost",
            symptom="Negative values of Swish or GELU are lost.",
            evidence=f"In {more(first, len(lost))} the smallest value is {low:.3g}, but at max calibration the step is "
            f"{lost[first] / largest:.3g}: all negative values become zero.",
            remedy="Clip the activation at 10, in the network itself (`qanalysis clip`, a button on the PTQ page), or "
            "use a smaller range there: fixed:10, or a percentile.",
            source="Appendix D, Table 12",
            severity="warning",
            sites=tuple(sorted(lost, key=lambda key: -lost[key])),
        )


def _moving(observations: Observations) -> Iterable[Advice]:
    """Whether ranges still grew in the second half of the samples."""
    moves = movement(observations.growth)
    moving = {key: share for key, share in moves.items() if share > _MOVES}
    if moves and len(moving) > _MANY * len(moves):
        first = max(moving, key=lambda key: moving[key])
        yield Advice(
            rule="still-moving",
            symptom="The calibration set is small: ranges still move.",
            evidence=f"In {len(moving)} of {len(moves)} activations the maximum grew by more than {100 * _MOVES:.0f} % "
            f"in the second half of {observations.samples:,} samples, most in {first} ({100 * moving[first]:.0f} %).",
            remedy="Calibrate on more samples, or with a percentile, which settles sooner.",
            source="section 4, Table 5",
            sites=tuple(sorted(moving, key=lambda key: -moving[key])),
        )


def movement(growth: tuple[Growth, ...]) -> dict[str, float]:
    """Activation → by how much its maximum grew in the second half of the samples, as a share of the last."""
    if len(growth) < 2:
        return {}
    last = growth[-1]
    half = min(growth, key=lambda one: abs(one.samples - last.samples / 2))
    if half is last:
        return {}
    return {key: 1 - half.amax.get(key, 0.0) / amax for key, amax in last.amax.items() if amax > 0}
