"""Real analyses as processes: what they give is what Python gives, and a killed one ends as if nothing had happened."""

import os
import signal
import time

import pytest

import qanalysis
from qanalysis.jobs.local import LocalRunner
from qanalysis.jobs.state import Job
from qanalysis.jobs.store import Store
from qanalysis.schema.params.accuracy import DescribeParams, PtqParams

NETWORK = "sample:resnet20@none"
MEASURED = {"rows", "ranges", "fp32", "best", "coverage"}


@pytest.fixture
def runner(tmp_path):
    return LocalRunner(Store(tmp_path))


def wait(runner: LocalRunner, job_id: str, state: str, seconds: float = 120) -> Job:
    deadline = time.monotonic() + seconds
    while (job := runner.store.job(job_id)).state != state:
        assert job.live, f"{job.state}: {job.error}\n{runner.logs(job_id)}"
        assert time.monotonic() < deadline, f"still {job.state} after {seconds} s"
        time.sleep(0.05)
    return job


def test_a_job_that_is_killed_and_resumed_gives_what_python_gives(runner):
    params = PtqParams(
        model=NETWORK, calibration_samples=16, evaluation_samples=96, calibrations=("max", "entropy"), batch_size=16
    )
    job_id = runner.submit("ptq", params)
    running = wait(runner, job_id, "running")
    measured = runner.store.folder(job_id) / "measured"
    while not list(measured.glob("evaluation*")) and runner.store.job(job_id).live:
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    wait_lost = time.monotonic() + 10
    while runner.store.job(job_id).state == "running" and time.monotonic() < wait_lost:
        time.sleep(0.01)
    assert runner.store.job(job_id).state == "lost"
    assert list(measured.glob("evaluation*"))
    runner.resume(job_id)
    job = wait(runner, job_id, "finished")
    here = qanalysis.run("ptq", **params.model_dump())
    assert runner.store.result(job).model_dump(include=MEASURED) == here.model_dump(include=MEASURED)
    assert [row["calibration"] for row in job.rows] == ["max", "entropy"]
    assert not (runner.store.folder(job_id) / "measured").exists()


def test_a_failed_job_says_why_in_a_sentence(runner):
    job = wait(runner, runner.submit("describe", DescribeParams(model="sample:nothing")), "failed")
    assert job.error.startswith("Unknown sample model 'nothing'")
    assert "Traceback" in runner.logs(job.id)
