"""Hours of reports stay few events, and the newest table always arrives."""

import time

import pytest

from qanalysis.jobs import reporter
from qanalysis.jobs.database import connected
from qanalysis.jobs.reporter import Reporter
from qanalysis.jobs.store import Store
from qanalysis.schema.params.accuracy import DescribeParams


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@pytest.fixture
def job_id(store):
    return store.create("describe", DescribeParams())


class Clock:
    """Time as the reporter reads it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(reporter, "time", clock)
    return clock


def count(store: Store, kind: str) -> int:
    with connected(store.path) as database:
        return database.execute("select count(*) from events where kind = ?", (kind,)).fetchone()[0]


def test_progress_is_written_ten_times_a_second(store, job_id, clock):
    report = Reporter(store, job_id)
    for done in range(1001):
        clock.now += 0.01
        report("progress", stage="fp32", done=done, total=1000)
    assert 90 <= count(store, "progress") <= 110
    assert store.job(job_id).done == 1000


def test_every_row_is_written(store, job_id):
    report = Reporter(store, job_id)
    for number in range(20):
        report("row", number=number)
    assert [row["number"] for row in store.job(job_id).rows] == list(range(20))


def test_the_newest_table_arrives_by_itself(store, job_id):
    report = Reporter(store, job_id)
    for number in range(20):
        report("table", rows=[{"number": number}])
    assert count(store, "table") == 1
    deadline = time.monotonic() + 5
    while store.job(job_id).table != {"rows": [{"number": 19}]}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert count(store, "table") == 2


def test_a_held_table_is_written_when_the_job_ends(store, job_id):
    report = Reporter(store, job_id)
    report("table", rows=[1])
    report("table", rows=[2])
    report.flush()
    report.flush()
    assert store.job(job_id).table == {"rows": [2]}
    assert count(store, "table") == 2


def test_time_left_is_of_the_stage(store, job_id, clock):
    report = Reporter(store, job_id)
    report("progress", stage="fp32", done=50, total=100)  # this much was known from before a kill
    assert store.job(job_id).eta is None
    clock.now += 10
    report("progress", stage="fp32", done=75, total=100)
    assert store.job(job_id).eta == pytest.approx(10, abs=0.5)
    report("progress", stage="max", done=0, total=100)
    assert store.job(job_id).eta is None


def test_time_left_is_of_all_stages_where_their_share_is_told(store, job_id, clock):
    report = Reporter(store, job_id)
    report("progress", stage="fp32", done=0, total=100, share=0.2)
    clock.now += 10
    report("progress", stage="max", done=0, total=100, share=0.6)
    job = store.job(job_id)
    assert job.eta == pytest.approx(10, abs=0.5)
    assert job.progress == 0.6


def test_superseded_events_of_an_ended_job_are_removed(store, job_id):
    report = Reporter(store, job_id)
    for stage in "abc":
        report("progress", stage=stage, done=0, total=1)
        report("row", stage=stage)
    before = store.job(job_id)
    store.compact(job_id)
    assert count(store, "progress") == 1
    assert count(store, "row") == 3
    assert store.job(job_id) == before
