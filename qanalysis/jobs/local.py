"""Runs jobs on this machine: one detached process each, which outlives the dashboard that started it."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

from qanalysis.jobs import lease, queue
from qanalysis.jobs.lease import Lease
from qanalysis.jobs.state import alive
from qanalysis.jobs.store import LOG, Store
from qanalysis.schema.errors import StoreError
from qanalysis.schema.params.task import TaskParams

#: The command that is a job; its id follows.
WORKER = (sys.executable, "-m", "qanalysis", "job")

#: Threads of a job that wait for each other give up their core: with two jobs side by side, spinning ones would keep it
#: from the threads they wait for, and both become many times slower.
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True)
class LocalRunner:
    """See `runner.Runner`.

    Attributes:
        store: where the jobs are.
        worker: the command that runs a job, to which its id is added.
    """

    store: Store = field(default_factory=Store)
    worker: tuple[str, ...] = WORKER

    def submit(self, analysis: str, params: TaskParams) -> str:
        """See `Runner.submit`."""
        self.store.hold_reserve()
        job_id = self.store.create(analysis, params)
        self.pump()
        return job_id

    def submit_first(self, analysis: str, params: TaskParams) -> str | None:
        """See `Runner.submit_first`."""
        job_id = self.store.create_first(analysis, params)
        if job_id is not None:
            self.store.hold_reserve()
            self.pump()
        return job_id

    def cancel(self, job_id: str) -> None:
        """See `Runner.cancel`; a process that does not end when it is asked to is ended after a few seconds."""
        held = queue.cancel(self.store, job_id)
        if held is not None:
            _signal(held, signal.SIGTERM)
            threading.Thread(target=self._see_off, args=(held,)).start()  # no daemon: a command line waits for it
        self.pump()

    def resume(self, job_id: str) -> None:
        """See `Runner.resume`."""
        queue.requeue(self.store, job_id, "resumed")
        self.pump()

    def retry(self, job_id: str) -> None:
        """See `Runner.retry`."""
        queue.requeue(self.store, job_id, "retried")
        self.pump()

    def delete(self, job_id: str) -> None:
        """See `Runner.delete`."""
        self.store.delete(job_id)

    def pump(self) -> None:
        """See `Runner.pump`."""
        moves = queue.settle(self.store)
        for held in moves.kill:
            _signal(held, signal.SIGKILL)
        for job_id in moves.start:
            self._start(job_id)

    def logs(self, job_id: str) -> str:
        """See `Runner.logs`."""
        return self.store.log(job_id)

    def devices(self) -> tuple[str, ...]:
        """See `Runner.devices`."""
        return lease.devices()

    def _start(self, job_id: str) -> None:
        environment = {**_WAITING, **os.environ, "QANALYSIS_HOME": str(self.store.root), "PYTHONUNBUFFERED": "1"}
        try:
            with (self.store.folder(job_id) / LOG).open("ab") as log:
                process = subprocess.Popen(
                    [*self.worker, job_id],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=environment,
                )
        except OSError as error:
            queue.end(self.store, job_id, "failed", error=f"Its process could not be started: {error}.")
            return
        threading.Thread(target=self._wait, args=(process, job_id), daemon=True).start()

    def _wait(self, process: "subprocess.Popen[bytes]", job_id: str) -> None:
        """Notes the exit code, which only the process that started another learns, and lets the next job start."""
        code = process.wait()  # else it would stay a zombie of this process
        with contextlib.suppress(StoreError, OSError, KeyError):  # whoever pumps next sees the same, but for the code
            if code != 0:
                queue.note_exit(self.store, job_id, code)
            self.pump()

    def _see_off(self, held: Lease) -> None:
        deadline = time.monotonic() + queue.GRACE
        while _lives(held) and time.monotonic() < deadline:
            time.sleep(0.02)
        _signal(held, signal.SIGKILL)
        with contextlib.suppress(StoreError, OSError):  # as above
            self.pump()


def _lives(held: Lease) -> bool:
    return held.pid is not None and alive(held.pid, held.process_started or 0.0)


def _signal(held: Lease, number: signal.Signals) -> None:
    """Sends a signal to the process group of a job, if that very process still runs."""
    if held.pid is not None and _lives(held):
        with contextlib.suppress(ProcessLookupError, PermissionError):  # gone, or about to be
            os.killpg(held.pid, number)
