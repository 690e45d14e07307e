"""What every runner promises; a new one is added to `RUNNERS` here and passes the same tests.

They go by the runner's methods and by what the store says of its jobs. How a runner's processes are found and killed is
the runner's own affair, and told by its `Rig`; how the local queue does it is tested in `test_local_queue.py`.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import psutil
import pytest

from qanalysis.jobs.local import LocalRunner
from qanalysis.jobs.runner import Runner
from qanalysis.jobs.state import Job
from qanalysis.jobs.store import Store
from qanalysis.schema.analyses import ANALYSES
from qanalysis.schema.params.accuracy import DescribeParams
from tests.jobs.waiting import SOON, alone, go, heavy, light, wait, wait_for, wait_half
from tests.jobs.worker import COMMAND, HALF, STEPS


@dataclass(frozen=True)
class Rig:
    """How a runner is made and treated badly.

    Attributes:
        make: a runner over a store; called again for the runner of another process.
        kill: ends the process of a running job without asking it.
        runs: whether the process of a job still runs.
        close: ends whatever the runner still runs.
    """

    make: Callable[[Store], Runner]
    kill: Callable[[Job], None]
    runs: Callable[[Job], bool]
    close: Callable[[Store], None]


def _end_local(store: Store) -> None:
    for held in store.leases():
        if held.pid is not None and psutil.pid_exists(held.pid):
            os.killpg(held.pid, signal.SIGKILL)


RUNNERS = {
    "local": Rig(
        make=lambda store: LocalRunner(store, COMMAND),
        kill=lambda job: os.kill(job.pid, signal.SIGKILL),
        runs=lambda job: psutil.pid_exists(job.pid),
        close=_end_local,
    )
}


@pytest.fixture(params=RUNNERS)
def rig(request, tmp_path, monkeypatch) -> Iterator[Rig]:
    monkeypatch.setitem(ANALYSES, "weights", replace(ANALYSES["weights"], weight="exclusive"))
    yield RUNNERS[request.param]
    RUNNERS[request.param].close(Store(tmp_path))


@pytest.fixture
def make(rig, tmp_path) -> Callable[[], Runner]:
    """Makes runners over one store."""
    return lambda: rig.make(Store(tmp_path))


@pytest.fixture
def runner(make) -> Runner:
    return make()


def test_a_job_finishes(runner):
    go(runner)
    job = wait(runner, runner.submit("ptq", heavy("count")), "finished")
    assert [row["step"] for row in job.rows] == list(range(STEPS))
    assert job.table == {"rows": [{"step": step} for step in range(STEPS)]}
    assert (job.progress, job.error, job.eta, job.device) == (1.0, "", None, "")
    assert (runner.store.folder(job.id) / "result.json").read_text() == f"computed {STEPS}"
    assert "working on count" in runner.logs(job.id)


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("raise", "`0 < p <= 100` must hold, but got p=120."),
        ("memory", "Out of memory: use a smaller batch size or fewer samples, and run it anew."),
        ("torch", "Out of memory: use a smaller batch size or fewer samples, and run it anew."),
    ],
)
def test_a_job_that_raises_says_why(runner, does, says):
    job = wait(runner, runner.submit("describe", light(does)), "failed")
    assert job.error == says
    assert "Traceback" in runner.logs(job.id)


def test_a_crash_in_native_code_is_a_lost_job(runner):
    job = wait(runner, runner.submit("describe", light("crash")), "lost")
    wait_for(lambda: runner.store.job(job.id).error != "")


def test_a_running_job_is_cancelled_and_cancelling_twice_is_once(runner, rig):
    job = wait_half(runner, runner.submit("ptq", heavy("wait")))
    runner.cancel(job.id)
    assert runner.store.job(job.id).state == "cancelled"
    runner.cancel(job.id)
    wait_for(lambda: not rig.runs(job))
    runner.cancel(job.id)
    assert runner.store.job(job.id).state == "cancelled"


def test_a_queued_job_is_cancelled(runner):
    first = wait(runner, runner.submit("ptq", heavy("wait")), "running")
    second = runner.submit("ptq", heavy("wait", 1))
    runner.cancel(second)
    assert runner.store.job(second).state == "cancelled"
    go(runner)
    wait(runner, first.id, "finished")
    assert runner.store.job(second).state == "cancelled"


def test_cancelling_an_ended_job_changes_nothing(runner):
    job = wait(runner, runner.submit("describe", light("count-nothing")), "finished")
    runner.cancel(job.id)
    assert runner.store.job(job.id).state == "finished"


def test_a_killed_job_is_lost_within_seconds_and_resumes(runner, rig):
    job = wait_half(runner, runner.submit("ptq", heavy("wait")))
    killed = time.monotonic()
    rig.kill(job)
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


def test_a_job_that_is_started_over_forgets_what_it_measured(runner, rig):
    job = wait_half(runner, runner.submit("ptq", heavy("wait")))
    runner.cancel(job.id)
    wait_for(lambda: not rig.runs(job))
    go(runner)
    runner.retry(job.id)
    wait(runner, job.id, "finished")
    assert (runner.store.folder(job.id) / "result.json").read_text() == f"computed {STEPS}"


def test_only_what_ended_is_resumed_or_deleted(runner):
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


def test_a_job_whose_files_changed_is_not_resumed(runner, tmp_path):
    model = tmp_path / "net.safetensors"
    model.write_bytes(b"one")
    params = DescribeParams(data="raise", device="cpu", model=f"checkpoint:{model}?arch=sample:resnet20")
    job = wait(runner, runner.submit("describe", params), "failed")
    model.write_bytes(b"another")
    with pytest.raises(ValueError, match=r"changed since .* run the analysis anew"):
        runner.resume(job.id)


def test_a_full_queue_is_first_come_first_served(runner):
    jobs = [runner.submit("ptq", heavy("wait", number)) for number in range(4)]
    wait(runner, jobs[0], "running")
    runner.pump()
    assert [runner.store.job(job_id).state for job_id in jobs] == ["running", "queued", "queued", "queued"]
    assert all(runner.store.job(job_id).waits for job_id in jobs[1:])  # says what it waits for
    go(runner)
    ended = [wait(runner, job_id, "finished") for job_id in jobs]
    starts = [job.ended - job.seconds for job in ended]
    for before, start in zip(ended[:-1], starts[1:], strict=True):
        assert start >= before.ended


def test_a_light_job_runs_beside_and_an_exclusive_one_alone(runner):
    first = runner.submit("ptq", heavy("wait"))
    beside = runner.submit("describe", light("wait"))
    only = runner.submit("weights", alone("count"))
    late = runner.submit("describe", light("count", 1))
    wait(runner, first, "running")
    wait(runner, beside, "running")
    runner.pump()
    assert runner.store.job(only).state == runner.store.job(late).state == "queued"
    go(runner)
    alone_ended = wait(runner, only, "finished")
    assert alone_ended.ended - alone_ended.seconds >= max(
        wait(runner, job_id, "finished").ended for job_id in (first, beside)
    )
    last = wait(runner, late, "finished")
    assert last.ended - last.seconds >= alone_ended.ended


def test_of_two_that_submit_the_same_one_starts_it(make):
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


def test_readers_in_threads_and_processes_see_whole_states(make):
    """While a job writes, every reader sees rows only ever grow, and never an error."""
    runner = make()
    go(runner)
    reader = (
        "import sys\nfrom pathlib import Path\nfrom qanalysis.jobs.store import Store\n"
        f"store = Store(Path({str(runner.store.root)!r}))\n"
        "seen = 0\n"
        "while (job := store.job(sys.argv[1])).live:\n"
        "    assert len(job.rows) >= seen; seen = len(job.rows)\n"
        "print(job.state, len(job.rows))"
    )
    job_id = runner.store.create("ptq", heavy("count"))
    processes = [
        subprocess.Popen([sys.executable, "-c", reader, job_id], stdout=subprocess.PIPE, text=True) for _ in range(2)
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


def test_what_a_process_left_half_written_is_no_result(runner):
    job = wait(runner, runner.submit("describe", light("finish")), "finished")
    with pytest.raises(ValueError, match="is not a DescribeResult"):
        runner.store.result(runner.store.job(job.id))


def test_devices_are_named(runner):
    assert "cpu" in runner.devices()
