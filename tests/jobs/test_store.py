"""State is a fold over events, and whether the process is alive."""

import os
import sqlite3
import time

import psutil
import pytest

from qanalysis.jobs.store import Event, Store, alive, digest, fold, process_identity
from qanalysis.schema.params import DescribeParams, PtqParams

PARAMS = DescribeParams()
HERE = {"pid": os.getpid(), "process_started": psutil.Process().create_time()}
GONE = {"pid": os.getpid(), "process_started": 1.0}


def folded(*events: tuple[str, dict[str, object]], created: float | None = None):
    now = time.time()
    return fold("id", "describe", PARAMS, created or now, [Event(now, kind, body) for kind, body in events])


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_a_new_job_is_queued():
    assert folded().state == "queued"


def test_a_job_that_never_started_is_lost_after_a_minute():
    job = folded(created=time.time() - 61)
    assert job.state == "lost"
    assert "did not start" in job.error


def test_a_started_job_with_a_living_process_runs():
    job = folded(("started", HERE), ("progress", {"stage": "fp32", "done": 3, "total": 9}), ("row", {"accuracy": 1.0}))
    assert (job.state, job.stage, job.done, job.total) == ("running", "fp32", 3, 9)
    assert job.rows == ({"accuracy": 1.0},)


def test_a_started_job_whose_process_is_gone_is_lost():
    assert folded(("started", GONE)).state == "lost"


@pytest.mark.parametrize("ending", ["finished", "failed", "cancelled"])
def test_an_ending_is_final_even_without_a_process(ending):
    job = folded(("started", GONE), (ending, {"error": "why"}))
    assert job.state == ending
    assert job.error == "why"
    assert not job.live


def test_a_reused_process_number_is_not_the_same_process():
    assert alive(**{"pid": HERE["pid"], "process_started": HERE["process_started"]})
    assert not alive(HERE["pid"], HERE["process_started"] - 100)


def test_events_are_kept_in_order(store):
    job_id = store.create("describe", PARAMS)
    store.emit(job_id, "started", **process_identity())
    store.emit(job_id, "progress", stage="a", done=1, total=2)
    store.emit(job_id, "progress", stage="b", done=2, total=2)
    job = store.job(job_id)
    assert (job.state, job.stage, job.done) == ("running", "b", 2)


def test_the_newest_job_with_the_same_parameters_is_found(store):
    first = store.create("describe", PARAMS)
    second = store.create("describe", PARAMS)
    other = DescribeParams(seed=1)
    assert store.latest("describe", PARAMS).id == second != first
    assert store.latest("describe", other) is None
    assert store.latest("evaluate", PARAMS) is None


def test_of_two_visitors_one_starts_the_job(store):
    assert store.create_first("describe", PARAMS) is not None
    assert store.create_first("describe", PARAMS) is None
    assert store.create_first("describe", DescribeParams(seed=1)) is not None


def test_parameters_survive_the_store(store):
    params = PtqParams(calibrations=("max", "percentile:99.99"), bits=4, skip=("fc",))
    assert store.job(store.create("ptq", params)).params == params


def test_a_changed_file_is_another_computation(tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"one")
    params = DescribeParams(model=f"checkpoint:{path}?arch=sample:resnet20")
    before = digest("describe", params)
    assert digest("describe", params) == before
    path.write_bytes(b"another")
    assert digest("describe", params) != before


def test_an_unknown_job_is_named(store):
    with pytest.raises(KeyError, match="no job 'nothing'"):
        store.job("nothing")


def test_a_store_of_a_later_version_is_refused(store):
    store.create("describe", PARAMS)
    with sqlite3.connect(store.root / "jobs.sqlite") as database:
        database.execute("pragma user_version = 99")
    database.close()
    with pytest.raises(ValueError, match=r"version 99.*update the program"):
        store.create("describe", PARAMS)


def test_a_lost_result_file_is_a_sentence(store):
    job_id = store.create("describe", PARAMS)
    store.emit(job_id, "finished")
    with pytest.raises(ValueError, match="run it again"):
        store.result(store.job(job_id))
