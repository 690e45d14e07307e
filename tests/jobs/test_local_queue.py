"""The local queue: processes of this machine, leases of its devices, and what is said while a job waits."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import psutil
import pytest

from qanalysis.jobs import queue
from qanalysis.jobs.local import LocalRunner
from qanalysis.jobs.store import Store
from qanalysis.schema.analyses import ANALYSES
from tests.jobs.waiting import alone, go, heavy, light, wait, wait_for, wait_half
from tests.jobs.worker import COMMAND, HALF


@pytest.fixture
def make(tmp_path, monkeypatch) -> Iterator[Callable[[], LocalRunner]]:
    """Makes runners over one store; what still runs at the end is ended."""
    monkeypatch.setitem(ANALYSES, "weights", replace(ANALYSES["weights"], weight="exclusive"))
    yield lambda: LocalRunner(Store(tmp_path), COMMAND)
    for held in Store(tmp_path).leases():
        if held.pid is not None and psutil.pid_exists(held.pid):
            os.killpg(held.pid, signal.SIGKILL)


@pytest.fixture
def runner(make) -> LocalRunner:
    return make()


def test_what_ended_holds_no_lease(runner):
    first = wait(runner, runner.submit("ptq", heavy("wait")), "running")
    second = runner.submit("ptq", heavy("wait", 1))
    assert [held.job for held in runner.store.leases() if held.granted] == [first.id]
    runner.cancel(second)
    assert [held.job for held in runner.store.leases()] == [first.id]
    runner.cancel(first.id)
    wait_for(lambda: runner.store.leases() == [])


def test_a_crash_is_told_with_its_signal(runner):
    job = wait(runner, runner.submit("describe", light("crash")), "lost")
    wait_for(lambda: "SIGABRT" in runner.store.job(job.id).error)


def test_a_queued_job_says_what_it_waits_for(runner):
    jobs = [runner.submit("ptq", heavy("wait", number)) for number in range(4)]
    wait(runner, jobs[0], "running")
    runner.pump()
    assert runner.store.job(jobs[1]).waits == "another job runs on cpu"
    assert runner.store.job(jobs[3]).waits == "2 jobs are before it in the queue of cpu"


def test_a_job_that_needs_the_device_alone_says_so(runner):
    first = runner.submit("ptq", heavy("wait"))
    beside = runner.submit("describe", light("wait"))
    only = runner.submit("weights", alone("count"))
    late = runner.submit("describe", light("count", 1))
    wait(runner, first, "running")
    wait(runner, beside, "running")
    runner.pump()
    assert runner.store.job(only).waits == "it needs cpu to itself, where 2 jobs run"
    assert runner.store.job(late).waits == "1 job is before it in the queue of cpu"


def test_a_process_that_ignores_being_asked_is_ended(runner, monkeypatch):
    monkeypatch.setattr(queue, "GRACE", 0.3)
    job = wait_half(runner, runner.submit("ptq", heavy("wait")))
    wait_for(lambda: len(runner.store.job(job.id).table["rows"]) == HALF)  # nothing is left to write
    os.kill(job.pid, signal.SIGSTOP)  # it cannot act on SIGTERM
    runner.cancel(job.id)
    wait_for(lambda: not psutil.pid_exists(job.pid))


def test_a_restarted_engine_goes_on_with_everything(make):
    """A process that submits and dies; another sees the running job and starts the queued one."""
    store = make().store
    submit = (
        "import os, signal\nfrom pathlib import Path\n"
        "from tests.jobs.waiting import heavy\nfrom tests.jobs.worker import COMMAND, LocalRunner, Store\n"
        f"runner = LocalRunner(Store(Path({str(store.root)!r})), COMMAND)\n"
        "print(runner.submit('ptq', heavy('wait')), runner.submit('ptq', heavy('wait', 1)), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    printed = subprocess.run([sys.executable, "-c", submit], capture_output=True, text=True, check=False)
    assert printed.returncode == -signal.SIGKILL, printed.stderr
    first, second = printed.stdout.split()
    runner = make()
    assert wait_half(runner, first).state == "running"
    assert runner.store.job(second).state == "queued"
    go(runner)
    wait(runner, first, "finished")
    wait(runner, second, "finished")


def test_the_queue_goes_on_without_anybody_pumping(runner):
    jobs = [runner.submit("ptq", heavy("wait", number)) for number in range(3)]
    go(runner)
    for job_id in jobs:
        wait(runner, job_id, "finished", pump=False)


def test_many_that_pump_start_a_job_once(make):
    job_id = make().store.create("ptq", heavy("wait"))
    threads = [threading.Thread(target=make().pump) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runner = make()
    wait_half(runner, job_id)
    assert runner.logs(job_id).count("working on") == 1
    assert "not the turn" not in runner.logs(job_id)


def test_a_lease_that_nobody_claims_is_granted_again(runner, monkeypatch):
    """The process that granted died before it could start the job's."""
    job_id = runner.store.create("ptq", heavy("wait"))
    assert queue.settle(runner.store).start == [job_id]
    runner.pump()
    assert runner.store.job(job_id).waits == "its process starts"
    monkeypatch.setattr(queue, "CLAIM_WITHIN", 0.0)
    assert queue.settle(runner.store).start == [job_id]
    monkeypatch.undo()
    go(runner)
    monkeypatch.setattr(queue, "CLAIM_WITHIN", -1.0)
    runner.pump()
    monkeypatch.undo()
    wait(runner, job_id, "finished")


def test_a_worker_that_does_not_come_up_fails_after_some_tries(runner, monkeypatch):
    monkeypatch.setenv("TEST_WORKER", "does not come up")
    job = wait(runner, runner.submit("ptq", heavy("wait")), "failed")
    assert "started 3 times and did not come up" in job.error
    assert runner.store.leases() == []
