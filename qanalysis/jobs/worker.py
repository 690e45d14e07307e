"""The process of a job: runs the analysis and turns its reports into events."""

import time
import traceback
from typing import Any

from qanalysis.analysis import ANALYSES
from qanalysis.jobs.store import Store, process_identity


def work(store: Store, job_id: str) -> int:
    """Runs a job to its end; returns the exit code.

    Every ending is an event: `finished`, or `failed` with the error's own sentence. A cancelled job is not started.
    """
    job = store.job(job_id)
    if job.state == "cancelled":
        return 1
    store.emit(job_id, "started", **process_identity())
    folder = store.folder(job_id)
    try:
        result = ANALYSES[job.analysis](job.params, _Reporter(store, job_id), folder)
        result.save(folder / "result.json")
    except (ValueError, OSError) as error:
        traceback.print_exc()
        store.emit(job_id, "failed", error=str(error))
        return 1
    except MemoryError:
        store.emit(job_id, "failed", error="Out of memory; use a smaller batch size or fewer samples.")
        return 1
    except Exception as error:
        traceback.print_exc()
        store.emit(job_id, "failed", error=f"{type(error).__name__}: {error}")
        return 1
    store.emit(job_id, "finished")
    return 0


class _Reporter:
    """Writes events; of progress within a stage at most ten a second."""

    def __init__(self, store: Store, job_id: str) -> None:
        self._store = store
        self._job_id = job_id
        self._last = 0.0

    def __call__(self, kind: str, **body: Any) -> None:
        now = time.monotonic()
        if kind == "progress" and 0 < body["done"] < body["total"] and now - self._last < 0.1:
            return
        self._last = now
        self._store.emit(self._job_id, kind, **body)
