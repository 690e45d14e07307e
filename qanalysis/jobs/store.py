"""The job store: SQLite in WAL mode, one row per job and an append-only table of events; results lie beside it."""

import json
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from qanalysis.jobs import lease
from qanalysis.jobs.database import connected, transaction
from qanalysis.jobs.lease import Lease
from qanalysis.jobs.state import LIFECYCLE, Event, Job, alive, fold
from qanalysis.schema.analyses import ANALYSES
from qanalysis.schema.catalog import home
from qanalysis.schema.digest import digest
from qanalysis.schema.errors import UnknownJobError, UserError
from qanalysis.schema.params.task import TaskParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.common import Result

RESULT = "result.json"
LOG = "log.txt"
MEASURED = "measured"  # as `analysis.checkpoint`, which needs PyTorch beside it, names it
TEMPORARY = "temporary"  # of the process that runs the job
LONGEST_NOTE = 2000
#: Kept free so that a full disk can still be told of: one page of events and SQLite's own files.
RESERVE = 1 << 20
_NEARLY_FULL = 64 << 20

_LIFECYCLE = ", ".join(f"'{kind}'" for kind in LIFECYCLE)
#: Of progress and tables only the newest counts, and nothing that was said before the job was last resumed: what is
#: read does not grow with what a job reports, but for its rows.
_EVENTS = f"""
    select seq, time, kind, body from events where job = :job and kind in ({_LIFECYCLE})
    union all select seq, time, kind, body from events where job = :job and kind = 'row' and seq > :start
    union all select * from (
        select seq, time, kind, body from events where job = :job and kind = 'progress' and seq > :start
        order by seq desc limit 1)
    union all select * from (
        select seq, time, kind, body from events where job = :job and kind = 'table' and seq > :start
        order by seq desc limit 1)
    order by seq
"""
_START = "select coalesce(max(seq), 0) from events where job = ? and kind in ('resumed', 'retried')"
_SUMMARY = f"""
    select seq, time, kind, body from events where job = :job and kind in ({_LIFECYCLE})
    union all select * from (
        select seq, time, kind, body from events where job = :job and kind = 'progress' and seq > :start
        order by seq desc limit 1)
    order by seq
"""


@dataclass(frozen=True)
class Store:
    """Jobs and their events under one folder; any number of processes may use it at once.

    Attributes:
        root: the folder, `QANALYSIS_HOME` by default.
    """

    root: Path = field(default_factory=home)

    @property
    def path(self) -> Path:
        """The database."""
        return self.root / "jobs.sqlite"

    def folder(self, job_id: str) -> Path:
        """Folder of a job's files: `result.json`, `log.txt`, what is measured so far, and artifacts."""
        return self.root / "jobs" / job_id

    def create(self, analysis: str, params: TaskParams) -> str:
        """Writes a job, last in the queue of its device, and returns its id."""
        with transaction(self.path) as database:
            return self._insert(database, analysis, params)

    def create_first(self, analysis: str, params: TaskParams) -> str | None:
        """Like `create`, but None where exactly this was ever submitted: of two visitors one starts it."""
        with transaction(self.path) as database:
            known = database.execute("select 1 from jobs where digest = ?", (digest(analysis, params),)).fetchone()
            return None if known else self._insert(database, analysis, params)

    def _insert(self, database: sqlite3.Connection, analysis: str, params: TaskParams) -> str:
        job_id = identity(analysis)
        self.folder(job_id).mkdir(parents=True)
        insert(database, job_id, analysis, params, time.time())
        enqueue(database, job_id, analysis, params)
        return job_id

    def emit(self, job_id: str, kind: str, **body: Any) -> None:
        """Appends an event."""
        with connected(self.path) as database:
            append(database, job_id, kind, **body)

    def ask(self, job_id: str, plan: Plan) -> None:
        """Asks a running job to measure a plan; asking twice is asking once. Its answer is a row of that digest."""
        with connected(self.path) as database:
            if plan.digest not in {question["digest"] for question in _bodies(database, job_id, "question")}:
                append(database, job_id, "question", digest=plan.digest, plan=plan.model_dump(mode="json"))

    def questions(self, job_id: str) -> list[Plan]:
        """Plans that a job was asked for and has no row of since it was last started, in the order of asking."""
        with connected(self.path) as database:
            start = database.execute(_START, (job_id,)).fetchone()[0]
            answered = {row.get("digest") for row in _bodies(database, job_id, "row", start)}
            asked = {question["digest"]: question["plan"] for question in _bodies(database, job_id, "question")}
        return [Plan.model_validate(plan) for digest, plan in asked.items() if digest not in answered]

    def job(self, job_id: str) -> Job:
        """The job as its events tell it now.

        Raises:
            KeyError: if there is none of that id.
        """
        with connected(self.path) as database:
            return self.read(database, job_id)

    def read(self, database: sqlite3.Connection, job_id: str) -> Job:
        """Like `job`, over a connection that is open."""
        row = database.execute("select * from jobs where id = ?", (job_id,)).fetchone()
        if row is None:
            raise UnknownJobError(f"There is no job {job_id!r} in {self.root}; it may have been deleted.")
        return self._fold(database, row, leases(database), _EVENTS)

    def _known(self, database: sqlite3.Connection, job_id: str) -> Job:
        """Like `read`, of a damaged record what can be told."""
        row = database.execute("select * from jobs where id = ?", (job_id,)).fetchone()
        if row is None:
            raise UnknownJobError(f"There is no job {job_id!r} in {self.root}; it may have been deleted.")
        return self._readable(database, row, leases(database))

    def jobs(self, limit: int = 200) -> list[Job]:
        """Pinned jobs, then the newest, newest first, without what they found so far (`rows`, `table`)."""
        with connected(self.path) as database:
            rows = database.execute(
                "select jobs.* from jobs left join labels on labels.job = jobs.id "
                "order by coalesce(labels.pinned, 0) desc, jobs.created desc limit ?",
                (limit,),
            ).fetchall()
            held = leases(database)
            return [self._readable(database, row, held) for row in rows]

    def _readable(
        self, database: sqlite3.Connection, row: tuple[Any, ...], held: list[Lease], kinds: str = _SUMMARY
    ) -> Job:
        """The job of a row; one whose record is damaged hides no other, and can be deleted."""
        try:
            return self._fold(database, row, held, kinds)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            created = row[4] if isinstance(row[4], float) else 0.0
            told = f"Its record in the store is damaged ({type(error).__name__}): delete the job."
            known = TaskParams.model_construct(model="unknown", data="unknown")
            return Job(str(row[0]), str(row[1]), known, created, state="failed", error=told, ended=created)

    def latest(self, analysis: str, params: TaskParams) -> Job | None:
        """The newest job for exactly these parameters and files; None if there is none."""
        with connected(self.path) as database:
            row = database.execute(
                "select * from jobs where digest = ? order by created desc limit 1", (digest(analysis, params),)
            ).fetchone()
            return None if row is None else self._readable(database, row, leases(database), _EVENTS)

    def result(self, job: Job) -> Result:
        """The result of a finished job.

        Raises:
            UserError: if its file is missing or not readable.
        """
        path = self.folder(job.id) / RESULT
        if not path.is_file():
            raise UserError(f"The result of {job.id} is gone from {path.parent}; run it again.")
        return ANALYSES[job.analysis].result.load(path)

    def log(self, job_id: str) -> str:
        """What the job printed, the last 20,000 bytes."""
        path = self.folder(job_id) / LOG
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - 20_000, 0))
            return file.read().decode(errors="replace")

    def files(self, job_id: str) -> dict[str, int]:
        """Sizes in bytes of the job's files, by their path in its folder; what is measured so far in one sum."""
        sizes: dict[str, int] = {}
        folder = self.folder(job_id)
        for path in sorted(folder.rglob("*")):
            try:
                size = path.stat().st_size if path.is_file() else None
            except OSError:  # gone in the meantime
                continue
            if size is not None:
                relative = path.relative_to(folder)
                name = MEASURED if relative.parts[0] == MEASURED else str(relative)
                sizes[name] = sizes.get(name, 0) + size
        return sizes

    def label(self, job_id: str, *, note: str | None = None, pinned: bool | None = None) -> None:
        """Writes a note beside a job, or pins it; what is None stays as it is.

        Raises:
            KeyError: if there is none of that id.
            UserError: if the note is longer than 2,000 characters.
        """
        if note is not None and len(note) > LONGEST_NOTE:
            raise UserError(f"A note has at most {LONGEST_NOTE:,} characters, but this one has {len(note):,}.")
        with transaction(self.path) as database:
            known = self.read(database, job_id)
            kept = known.note if note is None else note.strip(), known.pinned if pinned is None else pinned
            database.execute("insert or replace into labels (job, note, pinned) values (?, ?, ?)", (job_id, *kept))

    def delete(self, job_id: str) -> None:
        """Removes a job, its events and its files.

        Raises:
            KeyError: if there is none of that id.
            UserError: if it is live or pinned.
        """
        with transaction(self.path) as database:
            job = self._known(database, job_id)
            if job.live:
                raise UserError(f"{job_id} is {job.state}: cancel it before you delete it.")
            if stopping(database, job_id):
                raise UserError(f"{job_id} is still stopping: delete it in a few seconds.")
            if job.pinned:
                raise UserError(f"{job_id} is pinned: unpin it before you delete it.")
            for table in ("events", "leases", "labels"):
                database.execute(f"delete from {table} where job = ?", (job_id,))
            database.execute("delete from jobs where id = ?", (job_id,))
        shutil.rmtree(self.folder(job_id), ignore_errors=True)

    def leases(self) -> list[Lease]:
        """Jobs that wait or run, in the order of the queue."""
        with connected(self.path) as database:
            return leases(database)

    def compact(self, job_id: str) -> None:
        """Removes the progress and tables of an ended job that later ones replaced: nobody reads them."""
        with connected(self.path) as database:
            for kind in ("progress", "table"):
                database.execute(
                    "delete from events where job = :job and kind = :kind and seq < "
                    "(select max(seq) from events where job = :job and kind = :kind)",
                    {"job": job_id, "kind": kind},
                )

    def hold_reserve(self) -> None:
        """Keeps some space for the day the disk is full, if there is any now."""
        path = self.root / "reserve"
        try:
            if not path.exists() and shutil.disk_usage(self.root).free > _NEARLY_FULL:
                path.write_bytes(bytes(RESERVE))
        except OSError:
            return  # a comfort, not a need

    def spend_reserve(self) -> None:
        """Frees that space, so that a job can say that the disk is full."""
        (self.root / "reserve").unlink(missing_ok=True)

    def _fold(self, database: sqlite3.Connection, row: tuple[Any, ...], held: list[Lease], query: str) -> Job:
        start = database.execute(_START, (row[0],)).fetchone()[0]
        found = database.execute(query, {"job": row[0], "start": start})
        events = [Event(at, kind, json.loads(body)) for _, at, kind, body in found]
        if not isinstance(row[4], int | float):
            raise TypeError(f"created at {row[4]!r}")
        job = fold(row[0], row[1], _params(row[1], row[2]), row[4], events)
        label = database.execute("select note, pinned from labels where job = ?", (row[0],)).fetchone()
        if label is not None:
            job = replace(job, note=label[0], pinned=bool(label[1]))
        own = next((one for one in held if one.job == job.id), None)
        if job.live and own is not None:
            waits = lease.reason(own, held) if job.state == "queued" else ""
            return replace(job, device=own.device, waits=waits)
        if job.state == "lost" and (free := shutil.disk_usage(self.root).free) < _NEARLY_FULL:
            return replace(job, error=f"{job.error} The disk is nearly full: {free / 1e6:.0f} MB are free.")
        return job


def identity(analysis: str) -> str:
    """A name for a new job, by which it sorts among those of its analysis."""
    return f"{analysis}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"


def insert(database: sqlite3.Connection, job_id: str, analysis: str, params: TaskParams, created: float) -> None:
    """Writes a job over a connection that is open; it is not in the queue yet."""
    row = (job_id, analysis, params.model_dump_json(), digest(analysis, params), created)
    database.execute("insert into jobs values (?, ?, ?, ?, ?)", row)


def append(database: sqlite3.Connection, job_id: str, kind: str, at: float | None = None, **body: Any) -> None:
    """Appends an event over a connection that is open, of now or of another time."""
    database.execute(
        "insert into events (job, time, kind, body) values (?, ?, ?, ?)",
        (job_id, time.time() if at is None else at, kind, json.dumps(body)),
    )


def enqueue(database: sqlite3.Connection, job_id: str, analysis: str, params: TaskParams) -> None:
    """Puts a job last in the queue of its device."""
    database.execute("delete from leases where job = ?", (job_id,))
    database.execute(
        "insert into leases (job, device, weight) values (?, ?, ?)",
        (job_id, lease.place(params.device), lease.weight(analysis)),
    )


def leases(database: sqlite3.Connection) -> list[Lease]:
    """All leases, in the order of the queue."""
    found: Iterable[Any] = database.execute(
        "select job, device, weight, granted, pid, process_started, tries from leases order by rowid"
    )
    return [Lease(*row) for row in found]


def stopping(database: sqlite3.Connection, job_id: str) -> bool:
    """Whether a job that has ended, or was cancelled, still has a process."""
    own = next((one for one in leases(database) if one.job == job_id), None)
    return own is not None and own.pid is not None and alive(own.pid, own.process_started or 0.0)


def _bodies(database: sqlite3.Connection, job_id: str, kind: str, after: int = 0) -> list[dict[str, Any]]:
    """What events of a kind say, the oldest first."""
    found = database.execute(
        "select body from events where job = ? and kind = ? and seq > ? order by seq", (job_id, kind, after)
    )
    return [json.loads(body) for (body,) in found]


def _params(analysis: str, text: str) -> TaskParams:
    """Parameters as they were written; of another version's job only what every version knows."""
    try:
        return ANALYSES[analysis].params.model_validate_json(text)
    except (KeyError, ValidationError):
        defaults: dict[str, Any] = {name: field.default for name, field in TaskParams.model_fields.items()}
        known: dict[str, Any] = json.loads(text)
        known = {name: value for name, value in known.items() if type(value) is type(defaults.get(name))}
        return TaskParams.model_construct(**known)
