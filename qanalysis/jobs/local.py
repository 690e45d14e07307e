"""Runs jobs on this machine: one detached process each, which outlives the dashboard that started it."""

import os
import signal
import subprocess
import sys
import threading

from qanalysis.jobs.store import Job, Store
from qanalysis.schema.params import TaskParams


def submit(store: Store, analysis: str, params: TaskParams) -> str:
    """Starts a job in a process group of its own and returns its id."""
    job_id = store.create(analysis, params)
    _start(store, job_id)
    return job_id


def submit_first(store: Store, analysis: str, params: TaskParams) -> None:
    """Starts a job unless exactly this was submitted before."""
    job_id = store.create_first(analysis, params)
    if job_id is not None:
        _start(store, job_id)


def _start(store: Store, job_id: str) -> None:
    command = [sys.executable, "-m", "qanalysis", "job", job_id]
    environment = {**os.environ, "QANALYSIS_HOME": str(store.root), "PYTHONUNBUFFERED": "1"}
    with (store.folder(job_id) / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
        )
    threading.Thread(target=process.wait, daemon=True).start()  # else it would stay a zombie of this process


def cancel(store: Store, job: Job) -> None:
    """Stops a job's process group; what it measured stays in the store."""
    if not job.live:
        return
    store.emit(job.id, "cancelled")
    if job.pid is not None:
        try:
            os.killpg(job.pid, signal.SIGTERM)
        except ProcessLookupError:
            return
