"""State is a fold over events, and whether the process is alive."""

import os
import time

import psutil
import pytest

from qanalysis.jobs.state import Event, alive, fold, process_identity
from qanalysis.schema.params.accuracy import DescribeParams

HERE = {"pid": os.getpid(), "process_started": psutil.Process().create_time()}
GONE = {"pid": os.getpid(), "process_started": 1.0}


def folded(*events: tuple[str, dict[str, object]], created: float | None = None):
    now = time.time()
    return fold("id", "describe", DescribeParams(), created or now, [Event(now, kind, body) for kind, body in events])


def test_a_new_job_is_queued_however_long_it_waits():
    job = folded(created=time.time() - 100_000)
    assert job.state == "queued"
    assert job.live


def test_a_started_job_with_a_living_process_runs():
    job = folded(("started", HERE), ("progress", {"stage": "fp32", "done": 3, "total": 9}), ("row", {"accuracy": 1.0}))
    assert (job.state, job.stage, job.done, job.total) == ("running", "fp32", 3, 9)
    assert job.rows == ({"accuracy": 1.0},)
    assert job.progress == pytest.approx(1 / 3)


def test_a_started_job_whose_process_is_gone_is_lost():
    job = folded(("started", GONE))
    assert job.state == "lost"
    assert not job.live
    assert "killed, memory ran out, or the machine was restarted" in job.error


@pytest.mark.parametrize(
    ("code", "says"),
    [(-9, "was killed (SIGKILL)"), (-11, "crashed in native code (SIGSEGV)"), (-15, "ended by SIGTERM"), (1, "code 1")],
)
def test_the_exit_code_says_how_a_job_was_lost(code, says):
    assert says in folded(("started", GONE), ("exited", {"code": code})).error


def test_a_lost_job_does_not_grow_older():
    then = time.time() - 1000
    events = [Event(then, "started", GONE), Event(then + 5, "progress", {"stage": "a", "done": 1, "total": 2})]
    job = fold("id", "describe", DescribeParams(), then, events)
    assert (job.seconds, job.ended) == (5, then + 5)


@pytest.mark.parametrize("ending", ["finished", "failed", "cancelled"])
def test_an_ending_is_final_even_without_a_process(ending):
    job = folded(("started", GONE), (ending, {"error": "why"}))
    assert job.state == ending
    assert job.error == "why"
    assert not job.live


def test_what_a_dying_process_says_after_it_was_cancelled_does_not_count():
    job = folded(("started", GONE), ("cancelled", {}), ("failed", {"error": "interrupted"}))
    assert (job.state, job.error) == ("cancelled", "")


@pytest.mark.parametrize("again", ["resumed", "retried"])
def test_a_new_attempt_forgets_what_the_one_before_reported(again):
    reports = [("progress", {"stage": "a", "done": 1, "total": 2}), ("row", {}), ("table", {"rows": []})]
    job = folded(("started", GONE), *reports, ("failed", {"error": "why"}), (again, {}))
    assert (job.state, job.error, job.stage, job.rows, job.table, job.attempts) == ("queued", "", "", (), None, 2)
    assert folded(("started", GONE), ("failed", {}), (again, {}), ("started", HERE)).state == "running"


def test_the_newest_table_replaces_the_others():
    job = folded(("started", HERE), ("table", {"rows": [1]}), ("table", {"rows": [2]}))
    assert job.table == {"rows": [2]}


def test_time_left_goes_down_between_two_reports():
    now = time.time()
    report = {"stage": "a", "done": 1, "total": 2, "eta": 60.0}
    job = fold(
        "id", "describe", DescribeParams(), now, [Event(now, "started", HERE), Event(now - 20, "progress", report)]
    )
    assert job.eta == pytest.approx(40, abs=1)


def test_a_reused_process_number_is_not_the_same_process():
    assert alive(HERE["pid"], HERE["process_started"])
    assert not alive(HERE["pid"], HERE["process_started"] - 100)


def test_a_step_of_the_clock_kills_nobody(monkeypatch):
    """psutil computes the start of a process from the clock; NTP moves that."""
    here = process_identity()
    told = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: told(self) + 3600)
    assert alive(here["pid"], here["process_started"])


def test_a_number_that_was_given_again_is_another_process():
    here = process_identity()
    assert not alive(here["pid"], here["process_started"] - 1)
    assert not alive(2**22 + 1, here["process_started"])
