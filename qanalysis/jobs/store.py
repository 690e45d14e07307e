"""The job store: SQLite in WAL mode, one row per job and an append-only table of events; results lie beside it."""

import hashlib
import json
import os
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from qanalysis.schema.base import Record
from qanalysis.schema.catalog import home, samples_folder
from qanalysis.schema.params import PARAMS, TaskParams
from qanalysis.schema.result import Result
from qanalysis.schema.results import RESULTS

State = Literal["queued", "running", "finished", "failed", "cancelled", "lost"]
SCHEMA_VERSION = 1
_SCHEMA = """
create table if not exists jobs (
    id text primary key, analysis text not null, params text not null, digest text not null, created real not null
);
create index if not exists jobs_by_digest on jobs (digest, created);
create table if not exists events (
    seq integer primary key autoincrement, job text not null, time real not null, kind text not null, body text not null
);
create index if not exists events_by_job on events (job, seq);
"""


@dataclass(frozen=True)
class Event:
    """Something a job said, or that was said of it: started, progress, row, finished, failed, cancelled."""

    time: float
    kind: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Job:
    """A job as its events tell it.

    Attributes:
        id: its name in the store and of its folder.
        analysis: which analysis it runs.
        params: with which parameters.
        created: when it was submitted, seconds since the epoch.
        state: queued, running, finished, failed, cancelled; lost if its process is gone without a word.
        stage: what it is doing.
        done: samples done in this stage.
        total: samples in this stage.
        rows: results so far.
        error: why it failed, in its own words.
        seconds: how long it has run.
        pid: its process while running.
    """

    id: str
    analysis: str
    params: TaskParams
    created: float
    state: State
    stage: str = ""
    done: int = 0
    total: int = 0
    rows: tuple[dict[str, Any], ...] = ()
    error: str = ""
    seconds: float = 0.0
    pid: int | None = None

    @property
    def live(self) -> bool:
        """Whether it may still change."""
        return self.state in ("queued", "running")


@dataclass(frozen=True)
class Store:
    """Jobs and their events under one folder; any number of processes may use it at once.

    Attributes:
        root: the folder, `QANALYSIS_HOME` by default.
    """

    root: Path = field(default_factory=home)

    def folder(self, job_id: str) -> Path:
        """Folder of a job's files: `result.json`, `log.txt` and artifacts."""
        return self.root / "jobs" / job_id

    def create(self, analysis: str, params: TaskParams) -> str:
        """Writes a queued job and returns its id."""
        with self._open() as database:
            return self._insert(database, analysis, params)

    def create_first(self, analysis: str, params: TaskParams) -> str | None:
        """Like `create`, but None where exactly this was ever submitted: of two visitors one starts it."""
        with self._open() as database:
            database.execute("begin immediate")
            known = database.execute("select 1 from jobs where digest = ?", (digest(analysis, params),)).fetchone()
            job_id = None if known else self._insert(database, analysis, params)
            database.execute("commit")
        return job_id

    def _insert(self, database: sqlite3.Connection, analysis: str, params: TaskParams) -> str:
        job_id = f"{analysis}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
        self.folder(job_id).mkdir(parents=True)
        row = (job_id, analysis, params.model_dump_json(), digest(analysis, params), time.time())
        database.execute("insert into jobs values (?, ?, ?, ?, ?)", row)
        return job_id

    def emit(self, job_id: str, kind: str, **body: Any) -> None:
        """Appends an event."""
        with self._open() as database:
            database.execute(
                "insert into events (job, time, kind, body) values (?, ?, ?, ?)",
                (job_id, time.time(), kind, json.dumps(body)),
            )

    def job(self, job_id: str) -> Job:
        """The job as its events tell it now.

        Raises:
            KeyError: if there is none of that id.
        """
        with self._open() as database:
            row = database.execute("select * from jobs where id = ?", (job_id,)).fetchone()
            if row is None:
                raise KeyError(f"There is no job {job_id!r} in {self.root}.")
            events = [
                Event(at, kind, json.loads(body))
                for at, kind, body in database.execute(
                    "select time, kind, body from events where job = ? order by seq", (job_id,)
                )
            ]
        return fold(row[0], row[1], PARAMS[row[1]].model_validate_json(row[2]), row[4], events)

    def latest(self, analysis: str, params: TaskParams) -> Job | None:
        """The newest job for exactly these parameters, code version and files; None if there is none."""
        with self._open() as database:
            row = database.execute(
                "select id from jobs where digest = ? order by created desc limit 1", (digest(analysis, params),)
            ).fetchone()
        return None if row is None else self.job(row[0])

    def result(self, job: Job) -> Result:
        """The result of a finished job.

        Raises:
            ValueError: if its file is missing or not readable.
        """
        path = self.folder(job.id) / "result.json"
        if not path.is_file():
            raise ValueError(f"The result of {job.id} is gone from {path.parent}; run it again.")
        return RESULTS[job.analysis].load(path)

    def log(self, job_id: str) -> str:
        """What the job printed, the last 20,000 characters."""
        path = self.folder(job_id) / "log.txt"
        return path.read_text(errors="replace")[-20_000:] if path.is_file() else ""

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self.root / "jobs.sqlite", timeout=10, isolation_level=None)
        try:
            if database.execute("pragma user_version").fetchone()[0] != SCHEMA_VERSION:
                _create(database)
            database.execute("pragma synchronous = normal")
            yield database
        finally:
            database.close()


def _create(database: sqlite3.Connection) -> None:
    found = database.execute("pragma user_version").fetchone()[0]
    if found > SCHEMA_VERSION:
        raise ValueError(f"The job store has version {found}, this program knows {SCHEMA_VERSION}: update the program.")
    database.execute("pragma journal_mode = wal")
    database.executescript(_SCHEMA)
    database.execute(f"pragma user_version = {SCHEMA_VERSION}")


def fold(job_id: str, analysis: str, params: TaskParams, created: float, events: list[Event]) -> Job:
    """A job's state from its events, and from whether its process is alive."""
    fields: dict[str, Any] = {"state": "queued"}
    rows: list[dict[str, Any]] = []
    started: float | None = None
    process: tuple[int, float] | None = None
    last = created
    for event in events:
        last = event.time
        if event.kind == "started":
            fields["state"] = "running"
            started, process = event.time, (event.body["pid"], event.body["process_started"])
        elif event.kind == "progress":
            fields.update(event.body)
        elif event.kind == "row":
            rows.append(event.body)
        elif event.kind in ("finished", "failed", "cancelled"):
            fields["state"] = event.kind
            fields["error"] = event.body.get("error", "")
    if fields["state"] == "running" and process is not None:
        fields["pid"] = process[0]
        last = time.time()
        if not alive(*process):
            fields["state"] = "lost"
            fields["error"] = "Its process ended without a word: it was killed, or the machine ran out of memory."
    elif fields["state"] == "queued" and time.time() - created > 60:
        fields["state"] = "lost"
        fields["error"] = "Its process did not start."
    seconds = 0.0 if started is None else last - started
    return Job(job_id, analysis, params, created, rows=tuple(rows), seconds=seconds, **fields)


def alive(pid: int, process_started: float) -> bool:
    """Whether that very process still runs: the start time guards against a reused number."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - process_started) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def digest(analysis: str, params: Record) -> str:
    """Identity of a computation: the analysis, its parameters, and the files that they name as these are now."""
    files = {}
    values = params.model_dump(mode="json")
    for name in (str(values.get("model", "")), str(values.get("data", ""))):
        source, _, rest = name.partition(":")
        rest = rest.partition("?")[0].partition("@")[0]
        path = samples_folder() / f"{rest}.safetensors" if source == "sample" else Path(rest)
        if source != "python" and path.exists():
            status = path.stat()
            files[name] = (status.st_mtime_ns, status.st_size)
    text = json.dumps([analysis, values, files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def process_identity() -> dict[str, Any]:
    """This process's number and start time, for the `started` event."""
    return {"pid": os.getpid(), "process_started": psutil.Process().create_time()}
