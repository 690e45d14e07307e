"""Lease: a job's place on a device; which of those that wait may start, and what the others wait for."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from qanalysis.schema.analyses import ANALYSES, Weight

#: Jobs of a weight that a device runs at the same time.
MOST: dict[Weight, int] = {"light": 2, "interactive": 4, "heavy": 1, "exclusive": 1}


@dataclass(frozen=True)
class Lease:
    """A job's place on a device; in the store as long as the job waits or its process lives.

    Attributes:
        job: its id.
        device: `cpu` or `cuda:N`.
        weight: light, interactive, heavy or exclusive.
        granted: when it was allowed to start, seconds since the epoch; None while it waits.
        pid: the process that claimed it; None until then.
        process_started: start time of that process.
        tries: how often it was granted and no process came to claim it.
    """

    job: str
    device: str
    weight: Weight
    granted: float | None = None
    pid: int | None = None
    process_started: float | None = None
    tries: int = 0


def weight(analysis: str) -> Weight:
    """What an analysis asks of its device; heavy if nothing else is known."""
    known = ANALYSES.get(analysis)
    return "heavy" if known is None else known.weight


def place(name: str) -> str:
    """The device that a parameter means: `auto` is the first GPU where there is one; found without PyTorch."""
    if name == "auto":
        return "cuda:0" if "cuda:0" in devices() else "cpu"
    return "cuda:0" if name == "cuda" else name


@cache
def devices() -> tuple[str, ...]:
    """Devices of this machine: `cpu`, then one `cuda:N` for each GPU that this process may see."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ("cpu",)
    count = sum(line.startswith("GPU ") for line in listed.splitlines())
    if visible is not None:
        count = min(count, len([name for name in visible.split(",") if name.strip() not in ("", "-1")]))
    return ("cpu", *(f"cuda:{number}" for number in range(count)))


def startable(leases: Sequence[Lease]) -> list[Lease]:
    """Those of the waiting that may start now, first come first served on each device.

    A light job overtakes a heavy one that waits, for it takes nothing from it; nothing overtakes a waiting exclusive
    one, which would else never find its device free.
    """
    chosen = []
    for device in dict.fromkeys(lease.device for lease in leases):
        here = [lease for lease in leases if lease.device == device]
        running = [lease.weight for lease in here if lease.granted is not None]
        for lease in here:
            if lease.granted is not None:
                continue
            if _fits(lease.weight, running):
                running.append(lease.weight)
                chosen.append(lease)
            elif lease.weight == "exclusive":
                break
    return chosen


def reason(lease: Lease, leases: Sequence[Lease]) -> str:
    """What a waiting job waits for, as the end of a sentence."""
    if lease.granted is not None:
        return "its process starts"
    here = [other for other in leases if other.device == lease.device]
    before = here[: [other.job for other in here].index(lease.job)]
    running = [other for other in here if other.granted is not None]
    rivals = [other for other in before if other.granted is None and _rival(other.weight, lease.weight)]
    if rivals:
        jobs = "1 job is" if len(rivals) == 1 else f"{len(rivals)} jobs are"
        return f"{jobs} before it in the queue of {lease.device}"
    if any(other.weight == "exclusive" for other in running):
        return f"a benchmark has {lease.device} to itself"
    if lease.weight == "exclusive" and running:
        return f"it needs {lease.device} to itself, where {_count(running)}"
    if lease in startable(here):
        return f"it is next on {lease.device}"
    rivals = [other for other in running if other.weight == lease.weight]
    return f"{'another job runs' if len(rivals) == 1 else _count(rivals or running)} on {lease.device}"


def _fits(weight: Weight, running: Sequence[Weight]) -> bool:
    if weight == "exclusive":
        return not running
    return "exclusive" not in running and running.count(weight) < MOST[weight]


def _rival(before: Weight, weight: Weight) -> bool:
    return before == weight or "exclusive" in (before, weight)


def _count(running: Sequence[Lease]) -> str:
    return "1 job runs" if len(running) == 1 else f"{len(running)} jobs run"
