"""What every runner must do; a new one is added to `RUNNERS` here and passes the same tests."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import psutil
import pytest

from qanalysis.jobs import queue
from qanalysis.jobs.local import LocalRunner
from qanalysis.jobs.runner import Runner
from qanalysis.jobs.state import Job
from qanalysis.jobs.store import Store
from qanalysis.schema.analyses import ANALYSES
from qanalysis.schema.params.accuracy import DescribeParams, PtqParams, WeightsParams
from qanalysis.schema.params.task import TaskParams
from tests.jobs.worker import COMMAND, HALF, STEPS

RUNNERS: dict[str, Callable[[Store], Runner]] = {"local": lambda store: LocalRunner(store, COMMAND)}
#: Seconds within which a state must be right.
SOON = 5.0


def heavy(does: str, number: int = 0) -> TaskParams:
    return PtqParams(data=does, device="cpu", seed=number)


def light(does: str, number: int = 0) -> TaskParams:
    return DescribeParams(data=does, device="cpu", seed=number)


def alone(does: str) -> TaskParams:
    return WeightsParams(data=does, device="cpu")


@pytest.fixture(params=RUNNERS)
def make(request, tmp_path, monkeypatch) -> Iterator[Callable[[], Runner]]:
    """Makes engines over one store; what still runs at the end is ended."""
    monkeypatch.setitem(ANALYSES, "weights", replace(ANALYSES["weights"], weight="exclusive"))
    yield lambda: RUNNERS[request.param](Store(tmp_path))
    for held in Store(tmp_path).leases():
        if held.pid is not None and psutil.pid_exists(held.pid):
            os.killpg(held.pid, signal.SIGKILL)


@pytest.fixture
def runner(make) -> Runner:
    return make()


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


class TestRunner:
    """The contract."""

    def test_a_job_finishes(self, runner):
        go(runner)
        job = wait(runner, runner.submit("ptq", heavy("count")), "finished")
        assert [row["step"] for row in job.rows] == list(range(STEPS))
        assert job.table == {"rows": [{"step": step} for step in range(STEPS)]}
        assert (job.progress, job.error, job.eta, job.device) == (1.0, "", None, "")
        assert (runner.store.folder(job.id) / "result.json").read_text() == f"computed {STEPS}"
        assert "working on count" in runner.logs(job.id)
        assert runner.store.leases() == []

    @pytest.mark.parametrize(
        ("does", "says"),
        [
            ("raise", "`0 < p <= 100` must hold, but got p=120."),
            ("memory", "Out of memory: use a smaller batch size or fewer samples, and run it anew."),
            ("torch", "Out of memory: use a smaller batch size or fewer samples, and run it anew."),
        ],
    )
    def test_a_job_that_raises_says_why(self, runner, does, says):
        job = wait(runner, runner.submit("describe", light(does)), "failed")
        assert job.error == says
        assert "Traceback" in runner.logs(job.id)

    def test_a_crash_in_native_code_is_a_lost_job(self, runner):
        job = wait(runner, runner.submit("describe", light("crash")), "lost")
        wait_for(lambda: "SIGABRT" in runner.store.job(job.id).error)

    def test_a_running_job_is_cancelled_and_cancelling_twice_is_once(self, runner):
        job = wait_half(runner, runner.submit("ptq", heavy("wait")))
        runner.cancel(job.id)
        assert runner.store.job(job.id).state == "cancelled"
        runner.cancel(job.id)
        wait_for(lambda: not psutil.pid_exists(job.pid))
        runner.cancel(job.id)
        assert runner.store.job(job.id).state == "cancelled"
        wait_for(lambda: runner.store.leases() == [])

    def test_a_queued_job_is_cancelled(self, runner):
        first = wait(runner, runner.submit("ptq", heavy("wait")), "running")
        second = runner.submit("ptq", heavy("wait", 1))
        runner.cancel(second)
        assert runner.store.job(second).state == "cancelled"
        assert [held.job for held in runner.store.leases()] == [first.id]

    def test_a_process_that_ignores_being_asked_is_ended(self, runner, monkeypatch):
        monkeypatch.setattr(queue, "GRACE", 0.3)
        job = wait_half(runner, runner.submit("ptq", heavy("wait")))
        wait_for(lambda: len(runner.store.job(job.id).table["rows"]) == HALF)  # nothing is left to write
        os.kill(job.pid, signal.SIGSTOP)  # it cannot act on SIGTERM
        runner.cancel(job.id)
        wait_for(lambda: not psutil.pid_exists(job.pid))

    def test_cancelling_an_ended_job_changes_nothing(self, runner):
        job = wait(runner, runner.submit("describe", light("count-nothing")), "finished")
        runner.cancel(job.id)
        assert runner.store.job(job.id).state == "finished"

    def test_a_killed_job_is_lost_within_seconds_and_resumes(self, runner):
        job = wait_half(runner, runner.submit("ptq", heavy("wait")))
        killed = time.monotonic()
        os.kill(job.pid, signal.SIGKILL)
        lost = wait(runner, job.id, "lost", seconds=SOON)
        assert time.monotonic() - killed < SOON
        assert "killed" in lost.error
        assert len(lost.rows) == HALF
        go(runner)
        runner.resume(job.id)
        again = wait(runner, job.id, "finished")
        assert (runner.store.folder(job.id) / "result.json").read_text() == f"computed {STEPS - HALF}"
        assert [row["step"] for row in again.rows] == list(range(STEPS))
        assert again.attempts == 2

    def test_a_job_that_is_started_over_forgets_what_it_measured(self, runner):
        job = wait_half(runner, runner.submit("ptq", heavy("wait")))
        runner.cancel(job.id)
        wait_for(lambda: not psutil.pid_exists(job.pid))
        go(runner)
        runner.retry(job.id)
        wait(runner, job.id, "finished")
        assert (runner.store.folder(job.id) / "result.json").read_text() == f"computed {STEPS}"

    def test_only_what_ended_is_resumed_or_deleted(self, runner):
        job = wait_half(runner, runner.submit("ptq", heavy("wait")))
        for change in (runner.resume, runner.retry, runner.delete):
            with pytest.raises(ValueError, match="is running"):
                change(job.id)
        go(runner)
        wait(runner, job.id, "finished")
        with pytest.raises(ValueError, match="nothing left to resume"):
            runner.resume(job.id)
        runner.delete(job.id)
        assert not runner.store.folder(job.id).exists()
        for change in (runner.resume, runner.retry, runner.delete, runner.cancel):
            with pytest.raises(KeyError, match="There is no job"):
                change(job.id)

    def test_a_job_whose_files_changed_is_not_resumed(self, runner, tmp_path):
        model = tmp_path / "net.safetensors"
        model.write_bytes(b"one")
        params = DescribeParams(data="raise", device="cpu", model=f"checkpoint:{model}?arch=sample:resnet20")
        job = wait(runner, runner.submit("describe", params), "failed")
        model.write_bytes(b"another")
        with pytest.raises(ValueError, match=r"changed since .* run the analysis anew"):
            runner.resume(job.id)

    def test_a_restarted_engine_goes_on_with_everything(self, make):
        """A process that submits and dies; another sees the running job and starts the queued one."""
        store = make().store
        submit = (
            "from pathlib import Path\nfrom tests.jobs.test_runner_contract import *\n"
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

    def test_the_queue_goes_on_without_anybody_pumping(self, runner):
        jobs = [runner.submit("ptq", heavy("wait", number)) for number in range(3)]
        go(runner)
        for job_id in jobs:
            wait(runner, job_id, "finished", pump=False)

    def test_a_full_queue_is_first_come_first_served(self, runner):
        jobs = [runner.submit("ptq", heavy("wait", number)) for number in range(4)]
        wait(runner, jobs[0], "running")
        runner.pump()
        assert [runner.store.job(job_id).state for job_id in jobs] == ["running", "queued", "queued", "queued"]
        assert runner.store.job(jobs[1]).waits == "another job runs on cpu"
        assert runner.store.job(jobs[3]).waits == "2 jobs are before it in the queue of cpu"
        go(runner)
        ended = [wait(runner, job_id, "finished") for job_id in jobs]
        starts = [job.ended - job.seconds for job in ended]
        for before, start in zip(ended[:-1], starts[1:], strict=True):
            assert start >= before.ended

    def test_a_light_job_runs_beside_and_an_exclusive_one_alone(self, runner):
        first = runner.submit("ptq", heavy("wait"))
        beside = runner.submit("describe", light("wait"))
        only = runner.submit("weights", alone("count"))
        late = runner.submit("describe", light("count", 1))
        wait(runner, first, "running")
        wait(runner, beside, "running")
        runner.pump()
        assert runner.store.job(only).waits == "it needs cpu to itself, where 2 jobs run"
        assert runner.store.job(late).waits == "1 job is before it in the queue of cpu"
        go(runner)
        alone_ended = wait(runner, only, "finished")
        assert alone_ended.ended - alone_ended.seconds >= max(
            wait(runner, job_id, "finished").ended for job_id in (first, beside)
        )
        last = wait(runner, late, "finished")
        assert last.ended - last.seconds >= alone_ended.ended

    def test_of_two_that_submit_the_same_one_starts_it(self, make):
        engines = [make() for _ in range(8)]
        started: list[str | None] = []
        threads = [
            threading.Thread(target=lambda e=runner: started.append(e.submit_first("describe", light("finish"))))
            for runner in engines
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (job_id,) = [one for one in started if one is not None]
        wait(engines[0], job_id, "finished")

    def test_many_that_pump_start_a_job_once(self, make):
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

    def test_readers_in_threads_and_processes_see_whole_states(self, make):
        """While a job writes, every reader sees rows only ever grow, and never an error."""
        runner = make()
        go(runner)
        reader = (
            "import sys\nfrom pathlib import Path\nfrom tests.jobs.test_runner_contract import *\n"
            f"store = Store(Path({str(runner.store.root)!r}))\n"
            "seen = 0\n"
            "while (job := store.job(sys.argv[1])).live:\n"
            "    assert len(job.rows) >= seen; seen = len(job.rows)\n"
            "print(job.state, len(job.rows))"
        )
        job_id = runner.store.create("ptq", heavy("count"))
        processes = [
            subprocess.Popen([sys.executable, "-c", reader, job_id], stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        seen: list[list[int]] = []

        def read() -> None:
            own = []
            while (job := runner.store.job(job_id)).live:
                own.append(len(job.rows))
            seen.append(own)

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        runner.pump()
        for thread in threads:
            thread.join()
        assert [process.communicate()[0] for process in processes] == [f"finished {STEPS}\n"] * 2
        assert len(seen) == 2
        assert all(own == sorted(own) for own in seen)

    def test_a_lease_that_nobody_claims_is_granted_again(self, runner, monkeypatch):
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

    def test_a_worker_that_does_not_come_up_fails_after_some_tries(self, runner, monkeypatch):
        monkeypatch.setenv("TEST_WORKER", "does not come up")
        job = wait(runner, runner.submit("ptq", heavy("wait")), "failed")
        assert "started 3 times and did not come up" in job.error
        assert runner.store.leases() == []

    def test_what_a_process_left_half_written_is_no_result(self, runner):
        job = wait(runner, runner.submit("describe", light("finish")), "finished")
        with pytest.raises(ValueError, match="is not a DescribeResult"):
            runner.store.result(runner.store.job(job.id))

    def test_devices_are_named(self, runner):
        assert "cpu" in runner.devices()


def wait_for(condition: Callable[[], bool], seconds: float = SOON) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
