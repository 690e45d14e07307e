"""Queue: leases change hands here, each time in one transaction, so that of several processes one does it."""

import shutil
import time
from dataclasses import dataclass, field
from typing import Any

from qanalysis.jobs import lease
from qanalysis.jobs.database import transaction
from qanalysis.jobs.lease import Lease
from qanalysis.jobs.state import alive, process_identity
from qanalysis.jobs.store import MEASURED, RESULT, TEMPORARY, Store, append, enqueue, leases, stopping
from qanalysis.schema.digest import digest
from qanalysis.schema.errors import UserError

#: Seconds that a started process has to claim its lease, and how often it is started.
CLAIM_WITHIN = 30.0
MOST_TRIES = 3
#: Seconds between asking a cancelled process to end and ending it.
GRACE = 3.0


@dataclass(frozen=True)
class Moves:
    """What is to be done after the queue was looked through.

    Attributes:
        start: jobs that were granted a lease: a process has to be started for each.
        kill: leases of cancelled jobs whose process is still there after the grace.
    """

    start: list[str] = field(default_factory=list)
    kill: list[Lease] = field(default_factory=list)


def settle(store: Store) -> Moves:
    """Takes back the leases of processes that are gone and grants what is free; doing it twice changes nothing."""
    now = time.time()
    held = store.leases()
    if not any(_stale(store, one, now) for one in held) and not lease.startable(held):
        return Moves()  # nothing to write: the usual case, which locks nobody out
    with transaction(store.path) as database:
        kill = []
        for one in leases(database):
            match _stale(store, one, now):
                case "gone":
                    shutil.rmtree(store.folder(one.job) / TEMPORARY, ignore_errors=True)
                    database.execute("delete from leases where job = ?", (one.job,))
                case "kill":
                    kill.append(one)
                case "unclaimed" if one.tries + 1 >= MOST_TRIES:
                    append(database, one.job, "failed", error=f"Its process was started {MOST_TRIES} times and did "
                           "not come up; see what it printed.")  # fmt: skip
                    database.execute("delete from leases where job = ?", (one.job,))
                case "unclaimed":
                    database.execute("update leases set granted = null, tries = tries + 1 where job = ?", (one.job,))
        start = [one.job for one in lease.startable(leases(database))]
        for job_id in start:
            database.execute("update leases set granted = ? where job = ?", (now, job_id))
    return Moves(start, kill)


def _stale(store: Store, one: Lease, now: float) -> str:
    """What is wrong with a lease: gone, kill, unclaimed; empty if nothing is."""
    if one.granted is None:
        return ""
    if one.pid is None:
        return "unclaimed" if now - one.granted > CLAIM_WITHIN else ""
    if not alive(one.pid, one.process_started or 0.0):
        return "gone"
    job = store.job(one.job)
    return "kill" if job.state == "cancelled" and now - (job.ended or now) > GRACE else ""


def claim(store: Store, job_id: str) -> bool:
    """Makes this process the job's own and the job running; False if it is not, or no longer, the job's turn."""
    with transaction(store.path) as database:
        row = database.execute("select granted, pid from leases where job = ?", (job_id,)).fetchone()
        if row is None or row[0] is None or row[1] is not None:
            return False
        identity = process_identity()
        database.execute(
            "update leases set pid = :pid, process_started = :process_started, tries = 0 where job = :job",
            {**identity, "job": job_id},
        )
        append(database, job_id, "started", **identity)
    return True


def end(store: Store, job_id: str, kind: str, **body: Any) -> None:
    """Says how a job ended and gives its lease back."""
    with transaction(store.path) as database:
        append(database, job_id, kind, **body)
        database.execute("delete from leases where job = ?", (job_id,))


def note_exit(store: Store, job_id: str, code: int) -> None:
    """Notes the exit code of a process that said nothing; one that did not even claim its lease gives it back."""
    with transaction(store.path) as database:
        if store.read(database, job_id).state == "lost":
            append(database, job_id, "exited", code=code)
        database.execute(
            "update leases set granted = 0 where job = ? and granted is not null and pid is null", (job_id,)
        )


def cancel(store: Store, job_id: str) -> Lease | None:
    """Marks a live job cancelled; returns the lease of its process, which keeps its device until it has ended."""
    with transaction(store.path) as database:
        if not store.read(database, job_id).live:
            return None
        append(database, job_id, "cancelled")
        database.execute("delete from leases where job = ? and pid is null", (job_id,))
        return next((one for one in leases(database) if one.job == job_id), None)


def requeue(store: Store, job_id: str, kind: str) -> None:
    """Puts a job that ended without a result back into the queue, as `resumed` or `retried`.

    Raises:
        KeyError: if there is no such job.
        UserError: if it is live or finished, or what it names has changed.
    """
    with transaction(store.path) as database:
        job = store.read(database, job_id)
        again = "resumed" if kind == "resumed" else "started over"
        if job.live:
            raise UserError(f"{job_id} is {job.state}; only a job that has ended can be {again}.")
        if job.state == "finished" and kind == "resumed":
            raise UserError(f"{job_id} is finished; there is nothing left to resume.")
        known = database.execute("select digest from jobs where id = ?", (job_id,)).fetchone()[0]
        if digest(job.analysis, job.params) != known:
            raise UserError(
                f"The model or data of {job_id} changed since it was submitted, so what it measured is of other "
                "files; run the analysis anew."
            )
        if stopping(database, job_id):
            raise UserError(f"{job_id} is still stopping; try again in a few seconds.")
        append(database, job_id, kind)
        enqueue(database, job_id, job.analysis, job.params)
        store.folder(job_id).mkdir(parents=True, exist_ok=True)
        (store.folder(job_id) / RESULT).unlink(missing_ok=True)
        if kind == "retried":
            shutil.rmtree(store.folder(job_id) / MEASURED, ignore_errors=True)
