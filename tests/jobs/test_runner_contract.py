"""What every engine must do; a new one is added to `ENGINES` here and passes the same tests."""

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
from qanalysis.jobs.local import LocalEngine
from qanalysis.jobs.runner import Engine
from qanalysis.jobs.state import Job
from qanalysis.jobs.store import Store
from qanalysis.schema.analyses import ANALYSES
from qanalysis.schema.params.accuracy import DescribeParams, PtqParams, WeightsParams
from qanalysis.schema.params.task import TaskParams
from tests.jobs.worker import COMMAND, HALF, STEPS

ENGINES: dict[str, Callable[[Store], Engine]] = {"local": lambda store: LocalEngine(store, COMMAND)}
#: Seconds within which a state must be right.
SOON = 5.0


def heavy(does: str, number: int = 0) -> TaskParams:
    return PtqParams(data=does, device="cpu", seed=number)


def light(does: str, number: int = 0) -> TaskParams:
    return DescribeParams(data=does, device="cpu", seed=number)


def alone(does: str) -> TaskParams:
    return WeightsParams(data=does, device="cpu")


@pytest.fixture(params=ENGINES)
def make(request, tmp_path, monkeypatch) -> Iterator[Callable[[], Engine]]:
    """Makes engines over one store; what still runs at the end is ended."""
    monkeypatch.setitem(ANALYSES, "weights", replace(ANALYSES["weights"], weight="exclusive"))
    yield lambda: ENGINES[request.param](Store(tmp_path))
    for held in Store(tmp_path).leases():
        if held.pid is not None and psutil.pid_exists(held.pid):
            os.killpg(held.pid, signal.SIGKILL)


@pytest.fixture
def engine(make) -> Engine:
    return make()


def wait(engine: Engine, job_id: str, *states: str, seconds: float = 20, pump: bool = True) -> Job:
    deadline = time.monotonic() + seconds
    while (job := engine.store.job(job_id)).state not in states:
        assert time.monotonic() < deadline, f"still {job.state} {job.waits}: {job.error}\n{engine.logs(job_id)}"
        if pump:
            engine.pump()
        time.sleep(0.02)
    return job


def wait_half(engine: Engine, job_id: str) -> Job:
    """Until a job of `wait` has measured half of its steps."""
    job = wait(engine, job_id, "running")
    deadline = time.monotonic() + 20
    while len((job := engine.store.job(job_id)).rows) < HALF:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return job


def go(engine: Engine) -> None:
    (engine.store.root / "go").touch()


class TestEngine:
    """The contract."""

    def test_a_job_finishes(self, engine):
        go(engine)
        job = wait(engine, engine.submit("ptq", heavy("count")), "finished")
        assert [row["step"] for row in job.rows] == list(range(STEPS))
        assert job.table == {"rows": [{"step": step} for step in range(STEPS)]}
        assert (job.progress, job.error, job.eta, job.device) == (1.0, "", None, "")
        assert (engine.store.folder(job.id) / "result.json").read_text() == f"computed {STEPS}"
        assert "working on count" in engine.logs(job.id)
        assert engine.store.leases() == []

    @pytest.mark.parametrize(
        ("does", "says"),
        [
            ("raise", "`0 < p <= 100` must hold, but got p=120."),
            ("memory", "Out of memory: use a smaller batch size or fewer samples, and run it anew."),
            ("torch", "Out of memory: use a smaller batch size or fewer samples, and run it anew."),
        ],
    )
    def test_a_job_that_raises_says_why(self, engine, does, says):
        job = wait(engine, engine.submit("describe", light(does)), "failed")
        assert job.error == says
        assert "Traceback" in engine.logs(job.id)

    def test_a_crash_in_native_code_is_a_lost_job(self, engine):
        job = wait(engine, engine.submit("describe", light("crash")), "lost")
        wait_for(lambda: "SIGABRT" in engine.store.job(job.id).error)

    def test_a_running_job_is_cancelled_and_cancelling_twice_is_once(self, engine):
        job = wait_half(engine, engine.submit("ptq", heavy("wait")))
        engine.cancel(job.id)
        assert engine.store.job(job.id).state == "cancelled"
        engine.cancel(job.id)
        wait_for(lambda: not psutil.pid_exists(job.pid))
        engine.cancel(job.id)
        assert engine.store.job(job.id).state == "cancelled"
        wait_for(lambda: engine.store.leases() == [])

    def test_a_queued_job_is_cancelled(self, engine):
        first = wait(engine, engine.submit("ptq", heavy("wait")), "running")
        second = engine.submit("ptq", heavy("wait", 1))
        engine.cancel(second)
        assert engine.store.job(second).state == "cancelled"
        assert [held.job for held in engine.store.leases()] == [first.id]

    def test_a_process_that_ignores_being_asked_is_ended(self, engine, monkeypatch):
        monkeypatch.setattr(queue, "GRACE", 0.3)
        job = wait_half(engine, engine.submit("ptq", heavy("wait")))
        wait_for(lambda: len(engine.store.job(job.id).table["rows"]) == HALF)  # nothing is left to write
        os.kill(job.pid, signal.SIGSTOP)  # it cannot act on SIGTERM
        engine.cancel(job.id)
        wait_for(lambda: not psutil.pid_exists(job.pid))

    def test_cancelling_an_ended_job_changes_nothing(self, engine):
        job = wait(engine, engine.submit("describe", light("count-nothing")), "finished")
        engine.cancel(job.id)
        assert engine.store.job(job.id).state == "finished"

    def test_a_killed_job_is_lost_within_seconds_and_resumes(self, engine):
        job = wait_half(engine, engine.submit("ptq", heavy("wait")))
        killed = time.monotonic()
        os.kill(job.pid, signal.SIGKILL)
        lost = wait(engine, job.id, "lost", seconds=SOON)
        assert time.monotonic() - killed < SOON
        assert "killed" in lost.error
        assert len(lost.rows) == HALF
        go(engine)
        engine.resume(job.id)
        again = wait(engine, job.id, "finished")
        assert (engine.store.folder(job.id) / "result.json").read_text() == f"computed {STEPS - HALF}"
        assert [row["step"] for row in again.rows] == list(range(STEPS))
        assert again.attempts == 2

    def test_a_job_that_is_started_over_forgets_what_it_measured(self, engine):
        job = wait_half(engine, engine.submit("ptq", heavy("wait")))
        engine.cancel(job.id)
        wait_for(lambda: not psutil.pid_exists(job.pid))
        go(engine)
        engine.retry(job.id)
        wait(engine, job.id, "finished")
        assert (engine.store.folder(job.id) / "result.json").read_text() == f"computed {STEPS}"

    def test_only_what_ended_is_resumed_or_deleted(self, engine):
        job = wait_half(engine, engine.submit("ptq", heavy("wait")))
        for change in (engine.resume, engine.retry, engine.delete):
            with pytest.raises(ValueError, match="is running"):
                change(job.id)
        go(engine)
        wait(engine, job.id, "finished")
        with pytest.raises(ValueError, match="nothing left to resume"):
            engine.resume(job.id)
        engine.delete(job.id)
        assert not engine.store.folder(job.id).exists()
        for change in (engine.resume, engine.retry, engine.delete, engine.cancel):
            with pytest.raises(KeyError, match="There is no job"):
                change(job.id)

    def test_a_job_whose_files_changed_is_not_resumed(self, engine, tmp_path):
        model = tmp_path / "net.safetensors"
        model.write_bytes(b"one")
        params = DescribeParams(data="raise", device="cpu", model=f"checkpoint:{model}?arch=sample:resnet20")
        job = wait(engine, engine.submit("describe", params), "failed")
        model.write_bytes(b"another")
        with pytest.raises(ValueError, match=r"changed since .* run the analysis anew"):
            engine.resume(job.id)

    def test_a_restarted_engine_goes_on_with_everything(self, make):
        """A process that submits and dies; another sees the running job and starts the queued one."""
        store = make().store
        submit = (
            "from pathlib import Path\nfrom tests.jobs.test_runner_contract import *\n"
            f"engine = LocalEngine(Store(Path({str(store.root)!r})), COMMAND)\n"
            "print(engine.submit('ptq', heavy('wait')), engine.submit('ptq', heavy('wait', 1)), flush=True)\n"
            "os.kill(os.getpid(), signal.SIGKILL)"
        )
        printed = subprocess.run([sys.executable, "-c", submit], capture_output=True, text=True, check=False)
        assert printed.returncode == -signal.SIGKILL, printed.stderr
        first, second = printed.stdout.split()
        engine = make()
        assert wait_half(engine, first).state == "running"
        assert engine.store.job(second).state == "queued"
        go(engine)
        wait(engine, first, "finished")
        wait(engine, second, "finished")

    def test_the_queue_goes_on_without_anybody_pumping(self, engine):
        jobs = [engine.submit("ptq", heavy("wait", number)) for number in range(3)]
        go(engine)
        for job_id in jobs:
            wait(engine, job_id, "finished", pump=False)

    def test_a_full_queue_is_first_come_first_served(self, engine):
        jobs = [engine.submit("ptq", heavy("wait", number)) for number in range(4)]
        wait(engine, jobs[0], "running")
        engine.pump()
        assert [engine.store.job(job_id).state for job_id in jobs] == ["running", "queued", "queued", "queued"]
        assert engine.store.job(jobs[1]).waits == "another job runs on cpu"
        assert engine.store.job(jobs[3]).waits == "2 jobs are before it in the queue of cpu"
        go(engine)
        ended = [wait(engine, job_id, "finished") for job_id in jobs]
        starts = [job.ended - job.seconds for job in ended]
        for before, start in zip(ended[:-1], starts[1:], strict=True):
            assert start >= before.ended

    def test_a_light_job_runs_beside_and_an_exclusive_one_alone(self, engine):
        first = engine.submit("ptq", heavy("wait"))
        beside = engine.submit("describe", light("wait"))
        only = engine.submit("weights", alone("count"))
        late = engine.submit("describe", light("count", 1))
        wait(engine, first, "running")
        wait(engine, beside, "running")
        engine.pump()
        assert engine.store.job(only).waits == "it needs cpu to itself, where 2 jobs run"
        assert engine.store.job(late).waits == "1 job is before it in the queue of cpu"
        go(engine)
        alone_ended = wait(engine, only, "finished")
        assert alone_ended.ended - alone_ended.seconds >= max(
            wait(engine, job_id, "finished").ended for job_id in (first, beside)
        )
        last = wait(engine, late, "finished")
        assert last.ended - last.seconds >= alone_ended.ended

    def test_of_two_that_submit_the_same_one_starts_it(self, make):
        engines = [make() for _ in range(8)]
        started: list[str | None] = []
        threads = [
            threading.Thread(target=lambda e=engine: started.append(e.submit_first("describe", light("finish"))))
            for engine in engines
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
        engine = make()
        wait_half(engine, job_id)
        assert engine.logs(job_id).count("working on") == 1
        assert "not the turn" not in engine.logs(job_id)

    def test_readers_in_threads_and_processes_see_whole_states(self, make):
        """While a job writes, every reader sees rows only ever grow, and never an error."""
        engine = make()
        go(engine)
        reader = (
            "import sys\nfrom pathlib import Path\nfrom tests.jobs.test_runner_contract import *\n"
            f"store = Store(Path({str(engine.store.root)!r}))\n"
            "seen = 0\n"
            "while (job := store.job(sys.argv[1])).live:\n"
            "    assert len(job.rows) >= seen; seen = len(job.rows)\n"
            "print(job.state, len(job.rows))"
        )
        job_id = engine.store.create("ptq", heavy("count"))
        processes = [
            subprocess.Popen([sys.executable, "-c", reader, job_id], stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        seen: list[list[int]] = []

        def read() -> None:
            own = []
            while (job := engine.store.job(job_id)).live:
                own.append(len(job.rows))
            seen.append(own)

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        engine.pump()
        for thread in threads:
            thread.join()
        assert [process.communicate()[0] for process in processes] == [f"finished {STEPS}\n"] * 2
        assert len(seen) == 2
        assert all(own == sorted(own) for own in seen)

    def test_a_lease_that_nobody_claims_is_granted_again(self, engine, monkeypatch):
        """The process that granted died before it could start the job's."""
        job_id = engine.store.create("ptq", heavy("wait"))
        assert queue.settle(engine.store).start == [job_id]
        engine.pump()
        assert engine.store.job(job_id).waits == "its process starts"
        monkeypatch.setattr(queue, "CLAIM_WITHIN", 0.0)
        assert queue.settle(engine.store).start == [job_id]
        monkeypatch.undo()
        go(engine)
        monkeypatch.setattr(queue, "CLAIM_WITHIN", -1.0)
        engine.pump()
        monkeypatch.undo()
        wait(engine, job_id, "finished")

    def test_a_worker_that_does_not_come_up_fails_after_some_tries(self, engine, monkeypatch):
        monkeypatch.setenv("TEST_WORKER", "does not come up")
        job = wait(engine, engine.submit("ptq", heavy("wait")), "failed")
        assert "started 3 times and did not come up" in job.error
        assert engine.store.leases() == []

    def test_what_a_process_left_half_written_is_no_result(self, engine):
        job = wait(engine, engine.submit("describe", light("finish")), "finished")
        with pytest.raises(ValueError, match="is not a DescribeResult"):
            engine.store.result(engine.store.job(job.id))

    def test_devices_are_named(self, engine):
        assert "cpu" in engine.devices()


def wait_for(condition: Callable[[], bool], seconds: float = SOON) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
