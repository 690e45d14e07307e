"""Adoption: a stage of a larger job becomes a finished job of its own, so that its page shows it without running it."""

import os
import shutil
import time
from pathlib import Path

from qanalysis.insight.headline import headline
from qanalysis.jobs.database import transaction
from qanalysis.jobs.state import process_identity
from qanalysis.jobs.store import MEASURED, RESULT, Store, append, identity, insert
from qanalysis.schema.analyses import ANALYSES
from qanalysis.schema.params.task import TaskParams


def found(store: Store, analysis: str, params: TaskParams) -> Path | None:
    """Folder of the newest job with just these parameters, if it has finished."""
    job = store.latest(analysis, params)
    if job is None or job.state != "finished":
        return None
    folder = store.folder(job.id)
    return folder if (folder / RESULT).is_file() else None


def adopt(store: Store, analysis: str, params: TaskParams, folder: Path, seconds: float, note: str = "") -> str:
    """Writes a job that has finished, with the files of a folder, which stay there, too; returns its id.

    Args:
        store: where it goes.
        analysis: name of the analysis.
        params: its parameters.
        folder: with its result and other files.
        seconds: time that it took.
        note: what is written beside the job.

    Raises:
        ValueError: if the folder has no result.
    """
    result = ANALYSES[analysis].result.load(folder / RESULT)
    summary = headline(result)
    now = time.time()
    job_id = identity(analysis)
    shutil.copytree(folder, store.folder(job_id), copy_function=_linked, ignore=shutil.ignore_patterns(MEASURED))
    with transaction(store.path) as database:
        insert(database, job_id, analysis, params, now - seconds)
        append(database, job_id, "started", at=now - seconds, **process_identity())
        append(database, job_id, "finished", at=now, headline="" if summary is None else summary.line)
    if note:
        store.label(job_id, note=note)
    return job_id


def _linked(source: str, target: str) -> None:
    """One file under two names costs no space, and outlives the deletion of either; where that does not go, a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
