"""Adoption: a stage of a larger job becomes a finished job of its own, so that its page shows it without running it."""

import json
import os
import shutil
import time
import uuid
from pathlib import Path

from qanalysis.jobs.database import transaction
from qanalysis.jobs.state import process_identity
from qanalysis.jobs.store import MEASURED, RESULT, Store
from qanalysis.schema.digest import digest
from qanalysis.schema.headline import headline
from qanalysis.schema.results import RESULTS
from qanalysis.schema.task_params import TaskParams

_EVENT = "insert into events (job, time, kind, body) values (?, ?, ?, ?)"


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
    result = RESULTS[analysis].load(folder / RESULT)
    summary = headline(result)
    now = time.time()
    job_id = f"{analysis}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    place = store.folder(job_id)
    shutil.copytree(folder, place, copy_function=_linked, ignore=shutil.ignore_patterns(MEASURED))
    with transaction(store.path) as database:
        row = (job_id, analysis, params.model_dump_json(), digest(analysis, params), now - seconds)
        database.execute("insert into jobs values (?, ?, ?, ?, ?)", row)
        database.execute(_EVENT, (job_id, now - seconds, "started", json.dumps(process_identity())))
        ending = {"headline": "" if summary is None else summary.line}
        database.execute(_EVENT, (job_id, now, "finished", json.dumps(ending)))
    if note:
        store.label(job_id, note=note)
    return job_id


def _linked(source: str, target: str) -> None:
    """One file under two names costs no space, and outlives the deletion of either; where that does not go, a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
