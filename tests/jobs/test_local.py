"""Jobs as processes: they finish, fail with a sentence, are cancelled, and are seen when they are killed."""

import os
import signal
import time

import pytest

import qanalysis
from qanalysis.jobs import local
from qanalysis.jobs.store import Job, Store
from qanalysis.schema.params import DescribeParams, EvaluateParams, PtqParams

NETWORK = "sample:resnet20@none"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def wait(store: Store, job_id: str, states: tuple[str, ...], seconds: float = 120) -> Job:
    deadline = time.monotonic() + seconds
    while (job := store.job(job_id)).state not in states:
        assert job.live, f"{job.state}: {job.error}\n{store.log(job_id)}"
        assert time.monotonic() < deadline, f"still {job.state} after {seconds} s"
        time.sleep(0.05)
    return job


def long_job(store: Store) -> str:
    params = EvaluateParams(model=NETWORK, evaluation_samples=2000, batch_size=1)
    return local.submit(store, "evaluate", params)


def test_a_job_gives_what_python_gives(store):
    params = PtqParams(model=NETWORK, calibration_samples=32, evaluation_samples=64, calibrations=("max", "entropy"))
    job = wait(store, local.submit(store, "ptq", params), ("finished",))
    here = qanalysis.run("ptq", **params.model_dump())
    there = store.result(job)
    assert there.rows == here.rows
    assert there.ranges == here.ranges
    assert [row["calibration"] for row in job.rows] == ["max", "entropy"]


def test_a_failed_job_says_why_in_a_sentence(store):
    job = wait(store, local.submit(store, "describe", DescribeParams(model="sample:nothing")), ("failed",))
    assert job.error.startswith("Unknown sample model 'nothing'")
    assert "Traceback" in store.log(job.id)


def test_a_cancelled_job_stops(store):
    running = wait(store, long_job(store), ("running",))
    local.cancel(store, running)
    assert store.job(running.id).state == "cancelled"
    deadline = time.monotonic() + 10
    while _runs(running.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(running.pid)


def test_a_killed_job_is_lost(store):
    running = wait(store, long_job(store), ("running",))
    os.kill(running.pid, signal.SIGKILL)
    lost = wait(store, running.id, ("lost",), seconds=10)
    assert "killed" in lost.error


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
