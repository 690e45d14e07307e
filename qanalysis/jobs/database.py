"""Database: the SQLite file of the job store and its tables."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qanalysis.schema.errors import StoreError

#: The first that was published; a file of another one is not touched.
VERSION = 3
DISK_FULL = "The disk is full: free some space and resume the job; what it measured is kept."
_MOST_HELD = 2
_held: dict[tuple[Path, int], sqlite3.Connection] = {}
_lock = threading.Lock()

_TABLES = (
    """create table if not exists jobs (
        id text primary key, analysis text not null, params text not null, digest text not null, created real not null
    )""",
    "create index if not exists jobs_by_digest on jobs (digest, created)",
    """create table if not exists events (
        seq integer primary key autoincrement, job text not null, time real not null, kind text not null,
        body text not null
    )""",
    "create index if not exists jobs_by_time on jobs (created)",
    "create index if not exists events_by_kind on events (job, kind, seq)",
    """create table if not exists leases (
        job text primary key, device text not null, weight text not null, granted real, pid integer,
        process_started real, tries integer not null default 0
    )""",
    """create table if not exists labels (
        job text primary key, note text not null default '', pinned integer not null default 0
    )""",
)


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to the file, made if it is not there; every statement commits by itself.

    Raises:
        StoreError: if it cannot be read or written, or another version of the program wrote it.
    """
    try:
        database = sqlite3.connect(path, timeout=10, isolation_level=None)
        try:
            if database.execute("pragma user_version").fetchone()[0] != VERSION:
                _create(database)
            database.execute("pragma synchronous = normal")
            _hold_open(path)
            yield database
        finally:
            database.close()
    except sqlite3.Error as error:
        raise StoreError(_sentence(path, error)) from error


def _sentence(path: Path, error: sqlite3.Error) -> str:
    """What is wrong with the store, and what to do."""
    text = str(error)
    if "full" in text:
        return DISK_FULL
    if "readonly" in text or "read-only" in text or "unable to open" in text or "disk I/O" in text:
        return f"The store {path} cannot be written ({text}): check its permissions, or set QANALYSIS_HOME elsewhere."
    if "not a database" in text or "malformed" in text or "no such" in text:
        return (
            f"The store {path} is damaged ({text}): move it away; the results of its jobs stay in {path.parent}/jobs."
        )
    if "locked" in text or "busy" in text:
        return f"The store {path} is in use by another process; try again in a moment."
    return f"The store {path} cannot be used ({text})."


@contextmanager
def transaction(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection whose statements take effect together or not at all, while no other process writes."""
    with connected(path) as database, _atomic(database):
        yield database


@contextmanager
def _atomic(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("begin immediate")
    try:
        yield
        database.execute("commit")
    except BaseException:
        if database.in_transaction:  # SQLite itself rolls back when the disk is full
            database.execute("rollback")
        raise


def _hold_open(path: Path) -> None:
    """Keeps a connection of this process open, and with it SQLite's shared memory file.

    The last connection to close removes that file, and on a full disk it cannot be made again: not even reading works.
    """
    key = (path, path.stat().st_ino)
    with _lock:
        if key in _held:
            return
        _held[key] = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        _held[key].execute("select count(*) from leases").fetchone()
        while len(_held) > _MOST_HELD:  # a process has one store, but for tests
            _held.pop(next(iter(_held))).close()


def _create(database: sqlite3.Connection) -> None:
    """Makes the tables of a new file."""
    database.execute("pragma journal_mode = wal")
    with _atomic(database):  # of several processes the first one does it
        found = database.execute("pragma user_version").fetchone()[0]
        if found not in (0, VERSION):
            what = "update the program" if found > VERSION else "move it away; the results of its jobs stay beside it"
            raise StoreError(f"The job store has version {found}, this program knows {VERSION}: {what}.")
        for statement in _TABLES:
            database.execute(statement)
        database.execute(f"pragma user_version = {VERSION}")
