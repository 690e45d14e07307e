"""Runs jobs on this machine: one detached process each, which outlives the dashboard that started it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping

from qanalysis.jobs.store import Job, Store
from qanalysis.schema.params import TaskParams


def submit(store: Store, analysis: str, params: TaskParams, environment: Mapping[str, str] | None = None) -> str:
    """Starts a job in a process group of its own and returns its id.

    Args:
        store: where the job is written.
        analysis: name of the analysis.
        params: its parameters.
        environment: further environment variables of the process.
    """
    job_id = store.create(analysis, params)
    command = [sys.executable, "-m", "qanalysis", "job", job_id]
    variables = {**os.environ, **(environment or {}), "QANALYSIS_HOME": str(store.root), "PYTHONUNBUFFERED": "1"}
    with (store.folder(job_id) / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=variables,
        )
    threading.Thread(target=process.wait, daemon=True).start()  # else it would stay a zombie of this process
    return job_id


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
