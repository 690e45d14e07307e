"""What the tests of runners share: jobs that do what their data says, and waiting for them."""

import time
from collections.abc import Callable

from qanalysis.jobs.runner import Runner
from qanalysis.jobs.state import Job
from qanalysis.schema.params.accuracy import DescribeParams, PtqParams, WeightsParams
from qanalysis.schema.params.task import TaskParams
from tests.jobs.worker import HALF

#: Seconds within which a state must be right.
SOON = 5.0


def heavy(does: str, number: int = 0) -> TaskParams:
    return PtqParams(data=does, device="cpu", seed=number)


def light(does: str, number: int = 0) -> TaskParams:
    return DescribeParams(data=does, device="cpu", seed=number)


def alone(does: str) -> TaskParams:
    """Of an analysis that the tests make exclusive."""
    return WeightsParams(data=does, device="cpu")


def wait(runner: Runner, job_id: str, *states: str, seconds: float = 20, pump: bool = True) -> Job:
    deadline = time.monotonic() + seconds
    while (job := runner.store.job(job_id)).state not in states:
        assert time.monotonic() < deadline, f"still {job.state} {job.waits}: {job.error}\n{runner.logs(job_id)}"
        if pump:
            runner.pump()
        time.sleep(0.02)
    return job


def wait_half(runner: Runner, job_id: str) -> Job:
    """Until a job of `wait` has measured half of its steps."""
    job = wait(runner, job_id, "running")
    deadline = time.monotonic() + 20
    while len((job := runner.store.job(job_id)).rows) < HALF:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return job


def go(runner: Runner) -> None:
    (runner.store.root / "go").touch()


def wait_for(condition: Callable[[], bool], seconds: float = SOON) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
