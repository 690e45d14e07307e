"""Scores: accuracy from the statistics of samples, with its interval, and the interval of a change.

Where answers are right or wrong the intervals are Wilson's and Agresti and Min's. Where accuracy is another smooth
function of means (mIoU, 1 - NMSE), the influence of sample i is u_i = ∇accuracy · (s_i - s̄), and the standard error of
a difference sd(u_i - v_i) / √n (delta method): no random numbers, and the same however samples are batched. Where it is
not smooth (mAP, which sorts), groups of samples are left out in turn (delete-a-group jackknife, Kott 2001).
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from qanalysis.schema.results.common import Score
from qanalysis.tasks.task import Statistics, Task

#: Quantile of the normal distribution for 95 % intervals.
Z95 = 1.96
#: Groups of samples that are left out in turn.
_GROUPS = 20


def score(task: Task, statistics: Statistics) -> Score:
    """Accuracy in % with its standard error and 95 % interval.

    Args:
        task: says what the statistics mean.
        statistics: `(N, S)`.
    """
    n = len(statistics)
    if _right_or_wrong(task, statistics):
        k = int(statistics.sum())
        p = k / n
        interval = binomtest(k, n).proportion_ci(method="wilson")
        return Score(
            accuracy=100 * p,
            standard_error=100 * math.sqrt(p * (1 - p) / n),
            accuracy_interval=(100 * float(interval.low), 100 * float(interval.high)),
            samples=n,
        )
    accuracy = task.accuracy_of(statistics)
    error = _standard_error(task, statistics)
    return Score(
        accuracy=accuracy,
        standard_error=error,
        accuracy_interval=(accuracy - Z95 * error, min(accuracy + Z95 * error, 100.0)),
        samples=n,
    )


def change_interval(task: Task, statistics: Statistics, reference: Statistics, z: float = Z95) -> tuple[float, float]:
    """Interval of the change in accuracy, in points, from the same samples (paired).

    Half a sample is added to each outcome, so that a few samples of which none changed do not pass for certainty:
    where answers are right or wrong as Agresti and Min (2005) do, elsewhere in units of the reference's own deviation.

    Args:
        task: says what the statistics mean.
        statistics: `(N, S)` of the one model.
        reference: `(N, S)` of the other.
        z: quantile of the normal distribution; 1.96 for 95 %.
    """
    if _right_or_wrong(task, statistics) and _right_or_wrong(task, reference):
        return _of_hits(statistics[:, 0] > 0, reference[:, 0] > 0, z)
    n = len(statistics)
    difference = task.accuracy_of(statistics) - task.accuracy_of(reference)
    if task.smooth:
        ours, theirs = _influence(task, statistics), _influence(task, reference)
        variance = (float(np.var(ours - theirs)) + float(np.var(theirs)) / n) / n
    else:
        groups, count = _groups(n)
        without = task.accuracies_without(statistics, groups, count)
        reference_without = task.accuracies_without(reference, groups, count)
        variance = _jackknife(without - reference_without) + _jackknife(reference_without) / n
    error = z * math.sqrt(variance)
    return difference - error, difference + error


def _of_hits(hits: NDArray[np.bool_], reference: NDArray[np.bool_], z: float) -> tuple[float, float]:
    n = len(hits) + 2
    gained, lost = (int((one & ~other).sum()) + 0.5 for one, other in ((hits, reference), (reference, hits)))
    difference = (gained - lost) / n
    error = z * math.sqrt(max(gained + lost - (gained - lost) ** 2 / n, 0)) / n
    return 100 * (difference - error), 100 * (difference + error)


def _standard_error(task: Task, statistics: Statistics) -> float:
    if task.smooth:
        return float(np.std(_influence(task, statistics))) / math.sqrt(len(statistics))
    groups, count = _groups(len(statistics))
    return math.sqrt(_jackknife(task.accuracies_without(statistics, groups, count)))


def _influence(task: Task, statistics: Statistics) -> NDArray[np.float64]:
    """How much every sample moves the accuracy, in points times N: `(N,)`; the gradient is taken by differences."""
    means = statistics.mean(0)
    scale = np.maximum(np.abs(means), np.abs(statistics).max(0, initial=0.0))
    gradient = np.zeros(len(means))
    for number in np.flatnonzero(scale):
        step = 1e-5 * scale[number]
        up, down = means.copy(), means.copy()
        up[number] += step
        down[number] -= step
        gradient[number] = (task.accuracy(up) - task.accuracy(down)) / (2 * step)
    influence: NDArray[np.float64] = (statistics - means) @ gradient
    return influence


def _groups(n: int) -> tuple[NDArray[np.int64], int]:
    count = min(_GROUPS, n)
    return np.arange(n) % count, count


def _jackknife(without: NDArray[np.float64]) -> float:
    """Variance from the values without each of the groups."""
    count = len(without)
    return (count - 1) / count * float(np.square(without - without.mean()).sum())


def _right_or_wrong(task: Task, statistics: Statistics) -> bool:
    """Whether accuracy is the share of ones among zeros and ones."""
    plain = not task.graded and type(task).accuracy is Task.accuracy and type(task).accuracy_of is Task.accuracy_of
    return plain and statistics.shape[1] == 1 and bool(np.isin(statistics, (0.0, 1.0)).all())
