"""Rounds: networks timed by turns, so that a slow spell of the machine meets all of them alike."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import psutil
from numpy.typing import NDArray

from qanalysis.engines.process import EngineProcess
from qanalysis.schema.results.benchmark import BUSY, Latency, Load

_RESAMPLES = 2000


@dataclass
class Timed:
    """One network and its times.

    Attributes:
        process: the engine with the network.
        rounds: times of each round, in ms.
    """

    process: EngineProcess
    rounds: list[list[float]] = field(default_factory=list)

    @property
    def medians(self) -> NDArray[np.float64]:
        """Median of each round."""
        return np.array([np.median(times) for times in self.rounds])

    def latency(self) -> Latency:
        """All times."""
        times = np.concatenate([np.asarray(each) for each in self.rounds])
        low, median, high, p95 = (float(v) for v in np.percentile(times, [25, 50, 75, 95]))
        return Latency(min=float(times.min()), median=median, p95=p95, spread=(high - low) / median, runs=len(times))


def measure(
    timed: Sequence[Timed], seconds: float, rounds: int, progress: Callable[[int, int], None] | None = None
) -> None:
    """Times every network `rounds` times for `seconds / rounds`, by turns and back, after a warm-up.

    Args:
        timed: the networks; their times are added.
        seconds: time for each, in all.
        rounds: how often each has its turn.
        progress: called with the rounds done and to do.
    """
    for one in timed:
        one.process.latency(min(0.3, seconds / rounds))
    for number in range(rounds):
        for one in timed if number % 2 == 0 else reversed(timed):
            one.rounds.append(one.process.latency(seconds / rounds))
        if progress is not None:
            progress(number + 1, rounds)


def speedup(base: Timed, other: Timed, seed: int = 0) -> tuple[float, tuple[float, float]]:
    """Median over rounds of the base's time over the other's, with its 95 % interval (bootstrap over rounds)."""
    ratios = base.medians / other.medians
    generator = np.random.default_rng(seed)
    samples = generator.integers(0, len(ratios), (_RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(ratios[samples], axis=1), [2.5, 97.5])
    return float(np.median(ratios)), (float(low), float(high))


class LoadMeter:
    """Measures what other processes do while this one and its children measure."""

    def __init__(self) -> None:
        self._average = os.getloadavg()[0]
        self._start = time.perf_counter()
        self._busy = _busy()
        self._own = _own()
        self._ended = 0.0

    def closing(self, *processes: EngineProcess) -> None:
        """Keeps what processes used that are about to end."""
        self._ended += sum(_used(process.pid) for process in processes)

    def load(self) -> Load:
        """Since the meter was made."""
        seconds = (time.perf_counter() - self._start) * (os.cpu_count() or 1)
        own = _own() + self._ended - self._own
        return Load(average=self._average, others=min(1.0, max(0.0, (_busy() - self._busy - own) / seconds)))


def warning(load: Load) -> str | None:
    """A sentence for the reader, if the machine was too busy for the figures to be trusted."""
    if load.others <= BUSY:
        return None
    return (
        f"Other processes used {100 * load.others:.0f} % of this machine's cores meanwhile: latencies are doubtful; "
        "compare minima and ratios, or measure again when it is idle."
    )


def _busy() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def _own() -> float:
    this = psutil.Process()
    return sum(_used(process.pid) for process in (this, *this.children(recursive=True)))


def _used(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
