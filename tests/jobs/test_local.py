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
def engine(tmp_path):
    return LocalRunner(Store(tmp_path))


def wait(engine: LocalRunner, job_id: str, state: str, seconds: float = 120) -> Job:
    deadline = time.monotonic() + seconds
    while (job := engine.store.job(job_id)).state != state:
        assert job.live, f"{job.state}: {job.error}\n{engine.logs(job_id)}"
        assert time.monotonic() < deadline, f"still {job.state} after {seconds} s"
        time.sleep(0.05)
    return job


def test_a_job_that_is_killed_and_resumed_gives_what_python_gives(engine):
    params = PtqParams(
        model=NETWORK, calibration_samples=16, evaluation_samples=96, calibrations=("max", "entropy"), batch_size=16
    )
    job_id = engine.submit("ptq", params)
    running = wait(engine, job_id, "running")
    while not (job := engine.store.job(job_id)).rows and job.live:
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    wait_lost = time.monotonic() + 10
    while engine.store.job(job_id).state == "running" and time.monotonic() < wait_lost:
        time.sleep(0.01)
    assert engine.store.job(job_id).state == "lost"
    assert list((engine.store.folder(job_id) / "measured").glob("max*"))
    engine.resume(job_id)
    job = wait(engine, job_id, "finished")
    here = qanalysis.run("ptq", **params.model_dump())
    assert engine.store.result(job).model_dump(include=MEASURED) == here.model_dump(include=MEASURED)
    assert [row["calibration"] for row in job.rows] == ["max", "entropy"]
    assert not (engine.store.folder(job_id) / "measured").exists()


def test_a_failed_job_says_why_in_a_sentence(engine):
    job = wait(engine, engine.submit("describe", DescribeParams(model="sample:nothing")), "failed")
    assert job.error.startswith("Unknown sample model 'nothing'")
    assert "Traceback" in engine.logs(job.id)
