"""The store: what is written is found again, by this version's program and by later ones."""

import os
import shutil
import sqlite3
import time
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from qanalysis.jobs import queue
from qanalysis.jobs.database import VERSION, connected
from qanalysis.jobs.store import Store
from qanalysis.schema.digest import digest
from qanalysis.schema.errors import StoreError
from qanalysis.schema.params.accuracy import DescribeParams, PtqParams, TrialsParams
from qanalysis.schema.params.task import TaskParams
from qanalysis.schema.plan import Plan

PARAMS = DescribeParams()
HERE = {"pid": os.getpid(), "process_started": psutil.Process().create_time()}
GONE = {"pid": os.getpid(), "process_started": 1.0}
PUBLISHED = Path(__file__).with_name("store_v3.sql")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_events_are_kept_in_order(store):
    job_id = store.create("describe", PARAMS)
    store.emit(job_id, "started", **HERE)
    store.emit(job_id, "progress", stage="a", done=1, total=2)
    store.emit(job_id, "progress", stage="b", done=2, total=2)
    job = store.job(job_id)
    assert (job.state, job.stage, job.done) == ("running", "b", 2)


def test_a_resumed_job_is_read_without_what_came_before(store):
    job_id = store.create("describe", PARAMS)
    store.emit(job_id, "started", **GONE)
    store.emit(job_id, "row", number=1)
    store.emit(job_id, "table", rows=[1])
    store.emit(job_id, "progress", stage="a", done=1, total=2)
    store.emit(job_id, "failed", error="why")
    store.emit(job_id, "resumed")
    store.emit(job_id, "started", **HERE)
    job = store.job(job_id)
    assert (job.state, job.rows, job.table, job.stage) == ("running", (), None, "")
    store.emit(job_id, "row", number=2)
    assert store.job(job_id).rows == ({"number": 2},)


def test_reading_a_job_does_not_cost_more_the_more_it_has_reported(store):
    job_id = store.create("describe", PARAMS)
    store.emit(job_id, "started", **HERE)
    with connected(store.path) as database:
        database.executemany(
            "insert into events (job, time, kind, body) values (?, 1, ?, ?)",
            [(job_id, kind, '{"stage": "a", "done": 1, "total": 2}') for kind in ("progress", "table")] * 50_000,
        )
    store.job(job_id)
    start = time.perf_counter()
    for _ in range(10):
        store.job(job_id)
    assert (time.perf_counter() - start) / 10 < 0.02


def test_the_newest_job_with_the_same_parameters_is_found(store):
    first = store.create("describe", PARAMS)
    second = store.create("describe", PARAMS)
    other = DescribeParams(seed=1)
    assert store.latest("describe", PARAMS).id == second != first
    assert store.latest("describe", other) is None
    assert store.latest("evaluate", PARAMS) is None


def test_jobs_are_listed_newest_first(store):
    ids = [store.create("describe", DescribeParams(seed=seed)) for seed in range(3)]
    store.emit(ids[1], "failed", error="why")
    assert [job.id for job in store.jobs()] == ids[::-1]
    assert [job.state for job in store.jobs(2)] == ["queued", "failed"]


def test_of_two_visitors_one_starts_the_job(store):
    assert store.create_first("describe", PARAMS) is not None
    assert store.create_first("describe", PARAMS) is None
    assert store.create_first("describe", DescribeParams(seed=1)) is not None


def test_parameters_survive_the_store(store):
    params = PtqParams(calibrations=("max", "percentile:99.99"), bits=4, skip=("fc",))
    assert store.job(store.create("ptq", params)).params == params


def test_parameters_of_another_version_s_job_do_not_hide_the_others(store):
    job_id = store.create("ptq", PtqParams(model="sample:resnet20", bits=4))
    with connected(store.path) as database:
        database.execute("""update jobs set analysis = 'dream', params = '{"model": "sample:x", "depth": 3}'""")
    store.create("describe", PARAMS)
    jobs = store.jobs()
    assert (jobs[1].id, jobs[1].analysis, jobs[1].params.model) == (job_id, "dream", "sample:x")
    assert isinstance(jobs[1].params, TaskParams)


def test_a_changed_file_is_another_computation(tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"one")
    params = DescribeParams(model=f"checkpoint:{path}?arch=sample:resnet20")
    before = digest("describe", params)
    assert digest("describe", params) == before
    path.write_bytes(b"another")
    assert digest("describe", params) != before


def test_an_unknown_job_is_named(store):
    with pytest.raises(KeyError, match="no job 'nothing'"):
        store.job("nothing")


def test_a_deleted_job_leaves_nothing(store):
    keep, gone = store.create("describe", PARAMS), store.create("describe", PARAMS)
    queue.end(store, gone, "failed", error="why")
    store.delete(gone)
    with connected(store.path) as database:
        for table, column in (("jobs", "id"), ("events", "job"), ("leases", "job")):
            assert database.execute(f"select count(*) from {table} where {column} = ?", (gone,)).fetchone() == (0,)
    assert not store.folder(gone).exists()
    assert store.job(keep).state == "queued"


def test_a_note_and_a_pin_are_kept_each_by_itself(store):
    job_id = store.create("describe", PARAMS)
    store.label(job_id, note="  why it was run ")
    store.label(job_id, pinned=True)
    assert (store.job(job_id).note, store.job(job_id).pinned) == ("why it was run", True)
    store.label(job_id, note="")
    assert (store.job(job_id).note, store.job(job_id).pinned) == ("", True)


def test_a_note_to_no_job_or_too_long_is_refused(store):
    with pytest.raises(KeyError, match="no job 'nothing'"):
        store.label("nothing", note="x")
    with pytest.raises(ValueError, match="at most 2,000 characters"):
        store.label(store.create("describe", PARAMS), note="x" * 2001)


def test_pinned_jobs_come_first_even_when_they_are_old(store):
    ids = [store.create("describe", DescribeParams(seed=seed)) for seed in range(3)]
    store.label(ids[0], pinned=True)
    assert [job.id for job in store.jobs()] == [ids[0], ids[2], ids[1]]
    assert [job.id for job in store.jobs(1)] == [ids[0]]


def test_a_pinned_job_is_not_deleted(store):
    job_id = store.create("describe", PARAMS)
    queue.end(store, job_id, "failed", error="why")
    store.label(job_id, pinned=True)
    with pytest.raises(ValueError, match="unpin it"):
        store.delete(job_id)
    store.label(job_id, pinned=False)
    store.delete(job_id)
    assert store.jobs() == []


def test_what_a_job_found_is_known_without_its_result(store):
    job_id = store.create("describe", PARAMS)
    queue.end(store, job_id, "finished", headline="91.90 %, best of 6")
    assert [job.headline for job in store.jobs()] == ["91.90 %, best of 6"]


def test_a_job_that_still_stops_is_not_deleted(store):
    job_id = store.create("describe", PARAMS)
    queue.settle(store)
    assert queue.claim(store, job_id)
    queue.cancel(store, job_id)
    for change in (lambda: store.delete(job_id), lambda: queue.requeue(store, job_id, "resumed")):
        with pytest.raises(ValueError, match="still stopping"):
            change()


def test_files_are_listed_with_what_is_measured_in_one_sum(store):
    job_id = store.create("describe", PARAMS)
    folder = store.folder(job_id)
    (folder / "measured").mkdir()
    for number in range(3):
        (folder / "measured" / f"{number}.npz").write_bytes(bytes(10))
    (folder / "result.json").write_bytes(bytes(7))
    assert store.files(job_id) == {"measured": 30, "result.json": 7}


def test_only_the_end_of_a_long_log_is_read(store):
    job_id = store.create("describe", PARAMS)
    (store.folder(job_id) / "log.txt").write_text("x" * 50_000 + "the end")
    log = store.log(job_id)
    assert len(log) == 20_000
    assert log.endswith("the end")


def test_the_store_of_the_first_published_version_opens(tmp_path):
    with sqlite3.connect(tmp_path / "jobs.sqlite") as database:
        database.executescript(PUBLISHED.read_text())
    database.close()
    store = Store(tmp_path)
    jobs = {job.analysis: job for job in store.jobs()}
    assert {name: job.state for name, job in jobs.items()} == {
        "ptq": "finished",
        "describe": "failed",
        "trials": "lost",
    }
    assert [row["calibration"] for row in store.job(jobs["ptq"].id).rows] == ["max", "entropy"]
    assert (jobs["ptq"].note, jobs["ptq"].pinned) == ("mine", True)
    assert jobs["ptq"].params.calibrations == ("max", "entropy")
    assert jobs["describe"].error == "Unknown sample model 'nothing'."
    store.create("describe", PARAMS)
    assert len(store.jobs()) == 4


@pytest.mark.parametrize(("version", "what"), [(99, "update the program"), (1, "move it away")])
def test_a_store_of_another_version_is_refused_and_left_as_it_is(tmp_path, version, what):
    with sqlite3.connect(tmp_path / "jobs.sqlite") as database:
        database.execute(f"pragma user_version = {version}")
    database.close()
    with pytest.raises(StoreError, match=f"version {version}, this program knows {VERSION}: {what}"):
        Store(tmp_path).jobs()
    with sqlite3.connect(tmp_path / "jobs.sqlite") as database:
        assert database.execute("pragma user_version").fetchone() == (version,)
        assert database.execute("select count(*) from sqlite_master").fetchone() == (0,)
    database.close()


def test_a_question_is_asked_once_and_open_until_its_row_is_there(store):
    job = store.create("trials", TrialsParams())
    first, second = Plan(skip=frozenset({"fc"})), Plan(weight_bits=4)
    for plan in (first, second, first):
        store.ask(job, plan)
    assert store.questions(job) == [first, second]
    store.emit(job, "row", digest=first.digest, refused="no such site")
    assert store.questions(job) == [second]
    store.emit(job, "row", digest=second.digest, accuracy=90.0)
    assert store.questions(job) == []
    store.emit(job, "resumed")
    assert store.questions(job) == [first, second]


def test_a_lost_result_file_is_a_sentence(store):
    job_id = store.create("describe", PARAMS)
    store.emit(job_id, "finished")
    with pytest.raises(ValueError, match="run it again"):
        store.result(store.job(job_id))


def test_a_job_lost_on_a_nearly_full_disk_says_so(store, monkeypatch):
    job_id = store.create("describe", PARAMS)
    store.emit(job_id, "started", **GONE)
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(3_000_000))
    assert store.job(job_id).error.endswith("The disk is nearly full: 3 MB are free.")


def test_a_reserve_is_kept_and_spent(store):
    store.hold_reserve()
    assert (store.root / "reserve").stat().st_size == 1 << 20
    store.spend_reserve()
    store.spend_reserve()
    assert not (store.root / "reserve").exists()
