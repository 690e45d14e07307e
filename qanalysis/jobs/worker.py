"""The process of a job: runs the analysis and turns its reports into events."""

import contextlib
import errno
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from qanalysis.insight.headline import headline
from qanalysis.jobs import queue
from qanalysis.jobs.database import DISK_FULL
from qanalysis.jobs.reporter import Reporter
from qanalysis.jobs.runner import Runner
from qanalysis.jobs.store import MEASURED, RESULT, TEMPORARY, Store
from qanalysis.names import refuse_from_page
from qanalysis.schema import paths
from qanalysis.schema.analyses import ANALYSES
from qanalysis.schema.errors import StoreError, fault, sentence


def work(runner: Runner, job_id: str, analyses: Mapping[str, Callable[..., Any]] | None = None) -> int:
    """Runs a job to its end; returns the exit code.

    Every ending is an event: `finished`, or `failed` with the error's own sentence.

    Args:
        runner: is told when the job has ended, so that the queue goes on without a dashboard.
        job_id: the job.
        analyses: what the names of analyses mean; by default what `schema.analyses` says.
    """
    store = runner.store
    if not queue.claim(store, job_id):
        print(f"It is not the turn of {job_id}: it was cancelled, or another process runs it.", file=sys.stderr)
        return 1
    _let_memory_run_out_here()
    try:
        code = _run(store, job_id, analyses)
    finally:
        with contextlib.suppress(StoreError, OSError):  # who watches the queue pumps, too
            runner.pump()
    return code


def _run(store: Store, job_id: str, analyses: Mapping[str, Callable[..., Any]] | None) -> int:
    reporter = Reporter(store, job_id)
    try:
        job = store.job(job_id)
        run = ANALYSES[job.analysis].run if analyses is None else analyses[job.analysis]
        folder = store.folder(job_id)
        refuse_from_page(job.params.model, job.params.data, job.params.task)
        with paths.confined(), _temporary(folder / TEMPORARY):
            result = run(job.params, reporter, folder)
        reporter.flush()
        result.save(folder / RESULT)
        summary = headline(result)
        queue.end(store, job_id, "finished", headline="" if summary is None else summary.line)
    except Exception as error:
        told = _sentence(error)
        with contextlib.suppress(OSError):  # the log's disk may be full
            traceback.print_exc()
            print(told, file=sys.stderr)
        with contextlib.suppress(StoreError, OSError):
            reporter.flush()
        _fail(store, job_id, told)
        return 1
    shutil.rmtree(store.folder(job_id) / MEASURED, ignore_errors=True)  # it is all in the result
    with contextlib.suppress(StoreError):
        store.compact(job_id)
    return 0


@contextlib.contextmanager
def _temporary(folder: Path) -> Iterator[None]:
    """Temporary files lie in the job's folder: whoever sees that this process was killed can remove them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)


def _sentence(error: Exception) -> str:
    """What to tell about an error: its own words where they are meant for people."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DISK_FULL
    return sentence(error) or f"{fault(error)} The traceback is in the job's log."


def _fail(store: Store, job_id: str, sentence: str, tries: int = 5) -> None:
    """Says so, a few times where the disk is full: somebody may be making room."""
    for number in range(tries):
        try:
            queue.end(store, job_id, "failed", error=sentence)
            return
        except (StoreError, OSError) as error:
            store.spend_reserve()
            if number == tries - 1:
                with contextlib.suppress(OSError):
                    print(f"This could not be written to the store: {error}.", file=sys.stderr)
        time.sleep(0.2 * 2**number)


def _let_memory_run_out_here() -> None:
    """Asks the kernel to end this process, not the dashboard, when memory is short; an analysis can be resumed."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
