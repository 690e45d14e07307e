"""How a worker's end is told: in the error's own words, and on a full disk, too."""

import errno

import pytest

from qanalysis.jobs import queue, worker
from qanalysis.jobs.database import DISK_FULL
from qanalysis.jobs.local import LocalRunner
from qanalysis.jobs.store import Store
from qanalysis.schema.errors import StoreError, UserError
from qanalysis.schema.params.accuracy import DescribeParams


@pytest.fixture(autouse=True)
def _of_this_process(monkeypatch):
    monkeypatch.setattr(worker, "_let_memory_run_out_here", lambda: None)
    monkeypatch.setattr(worker.time, "sleep", lambda seconds: None)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    store.hold_reserve()
    return store


def work(store: Store, error: Exception) -> str:
    """A job whose analysis raises; its id."""
    job_id = store.create("describe", DescribeParams())
    queue.settle(store)

    def run(params, report, folder):
        raise error

    assert worker.work(LocalRunner(store), job_id, {"describe": run}) == 1
    return job_id


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (UserError("bits must be 2 to 8, but got 9."), "bits must be 2 to 8, but got 9."),
        (KeyError("conv1"), "This is a fault of qanalysis, not of what you asked for: KeyError: 'conv1'"),
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full: free some space and resume the job"),
        (StoreError(DISK_FULL), "The disk is full: free some space and resume the job"),
        (OSError(errno.EACCES, "Permission denied"), "Permission denied"),
        (MemoryError(), "Out of memory: use a smaller batch size"),
        (RuntimeError("[enforce fail] can't allocate memory: you tried 9"), "Out of memory: use a smaller batch size"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "The GPU is out of memory: use a smaller batch size"),
        (RuntimeError("shapes differ"), "RuntimeError: shapes differ The traceback is in the job's log."),
        (ValueError("of NumPy"), "This is a fault of qanalysis, not of what you asked for: ValueError: of NumPy"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_is_told_in_a_sentence(store, error, says):
    job = store.job(work(store, error))
    assert job.state == "failed"
    assert says in job.error


def test_on_a_full_disk_the_reserve_is_spent_to_say_so(store, monkeypatch):
    end = queue.end

    def full(*arguments, **body):
        if (store.root / "reserve").exists():
            raise StoreError(DISK_FULL)
        end(*arguments, **body)

    monkeypatch.setattr(queue, "end", full)
    job = store.job(work(store, OSError(errno.ENOSPC, "No space left on device")))
    assert (job.state, "The disk is full" in job.error) == ("failed", True)


def test_a_disk_that_stays_full_leaves_the_sentence_in_the_log(store, monkeypatch, capsys):
    def full(*arguments, **body):
        raise StoreError(DISK_FULL)

    monkeypatch.setattr(queue, "end", full)
    job_id = work(store, OSError(errno.ENOSPC, "No space left on device"))
    assert store.job(job_id).state == "running"  # until its process is gone
    printed = capsys.readouterr().err
    assert "The disk is full: free some space" in printed
    assert "could not be written to the store" in printed


def test_reading_needs_no_new_file_while_a_process_uses_the_store(store):
    """On a full disk SQLite could not make it."""
    store.jobs()
    assert (store.root / "jobs.sqlite-shm").exists()
