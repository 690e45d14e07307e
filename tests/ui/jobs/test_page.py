"""The jobs page and pages opened with `?job=`, in Streamlit's test harness."""

import os

import psutil
import pytest
from streamlit.testing.v1 import AppTest

import qanalysis.ui.main
from qanalysis.jobs import queue
from qanalysis.schema.params.accuracy import DescribeParams, PtqParams

MAIN = qanalysis.ui.main.__file__
NETWORK = "torchvision:resnet18@none"  # no sample: nothing is started unasked
HERE = {"pid": os.getpid(), "process_started": psutil.Process().create_time()}


@pytest.fixture
def app(store):
    return AppTest.from_file(MAIN, default_timeout=60)


@pytest.fixture
def jobs(store) -> dict[str, str]:
    """One job in each state."""
    ids = {}
    for state in ("finished", "failed", "cancelled", "lost", "running", "queued"):
        bits = 2 + len(ids)
        ids[state] = store.create("ptq", PtqParams(model=NETWORK, bits=bits, device=f"cuda:{bits}"))
        if state in ("finished", "failed", "cancelled"):
            queue.end(store, ids[state], state, error="Out of memory." if state == "failed" else "")
        elif state == "lost":
            store.emit(ids[state], "started", pid=os.getpid(), process_started=1.0)
        elif state == "running":
            queue.settle(store)
            queue.claim(store, ids[state])
            store.emit(ids[state], "progress", stage="entropy", done=30, total=60, eta=12.0)
    (store.folder(ids["failed"]) / "measured").mkdir()
    (store.folder(ids["failed"]) / "log.txt").write_text("Traceback: the last words")
    return ids


def opened(app: AppTest, page: str = "7_Jobs.py", **query: str) -> AppTest:
    for key, value in {"model": NETWORK, **query}.items():
        app.query_params[key] = value
    app.run()
    app = app.switch_page(f"../../pages/{page}")
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app


def test_an_empty_page_says_where_to_start(app):
    assert "Nothing has been run yet" in opened(app).info[0].value


def test_all_jobs_are_in_the_table_newest_first(app, jobs):
    table = opened(app).dataframe[0].value
    assert [state for (state,) in table["state"]] == ["queued", "running", "lost", "cancelled", "failed", "finished"]
    assert list(table["progress"]) == [0, 0.5, 0, 0, 0, 1]
    assert table["settings"][0] == "device cuda:7, bits 7"


def test_the_table_is_filtered_by_state_and_text(app, jobs):
    opened(app)
    app.pills(key="job-states").set_value(["failed", "lost"]).run()
    assert [state for (state,) in app.dataframe[0].value["state"]] == ["lost", "failed"]
    app.text_input(key="job-search").set_value("mobilenet").run()
    assert "No job fits" in app.info[0].value


def test_a_running_job_shows_how_far_it_is(app, jobs):
    opened(app, job=jobs["running"])
    assert "entropy 30 of 60" in app.get("progress")[0].proto.text
    assert "s left in this step" in app.get("progress")[0].proto.text
    assert app.button(key=f"cancel-{jobs['running']}")


def test_a_failed_job_shows_its_own_words_and_what_it_printed(app, jobs):
    opened(app, job=jobs["failed"])
    assert app.error[0].value == "Out of memory."
    assert "the last words" in app.code[0].value


@pytest.mark.parametrize(("button", "state"), [("resume", "queued"), ("retry", "queued")])
def test_a_failed_job_is_queued_again(app, jobs, store, button, state):
    opened(app, job=jobs["failed"])
    app.button(key=f"{button}-{jobs['failed']}").click().run()
    assert store.job(jobs["failed"]).state == state
    assert (store.folder(jobs["failed"]) / "measured").exists() == (button == "resume")


def test_a_queued_job_is_cancelled(app, jobs, store):
    opened(app, job=jobs["queued"])
    app.button(key=f"cancel-{jobs['queued']}").click().run()
    assert store.job(jobs["queued"]).state == "cancelled"


def test_a_job_is_deleted_after_it_was_confirmed(app, jobs, store):
    opened(app, job=jobs["failed"])
    app.button(key=f"delete-{jobs['failed']}").click().run()
    assert not app.exception
    assert jobs["failed"] not in [job.id for job in store.jobs()]
    assert len(app.dataframe[0].value) == 5


def test_a_job_is_noted_and_pinned_on_the_page(app, jobs, store):
    opened(app, job=jobs["failed"])
    app.text_input(key=f"note-{jobs['failed']}").set_value("too few images").run()
    app.button(key=f"pin-{jobs['failed']}").click().run()
    assert not app.exception
    assert (store.job(jobs["failed"]).note, store.job(jobs["failed"]).pinned) == ("too few images", True)
    table = app.dataframe[0].value
    assert next(iter(table["note"])) == "too few images"
    app.text_input(key="job-search").set_value("few images").run()
    assert len(app.dataframe[0].value) == 1


def test_a_page_opened_with_a_job_shows_it_with_its_own_settings(app, jobs):
    opened(app, "2_PTQ.py", job=jobs["failed"])
    assert any("One run of" in text.value and "bits 3" in text.value for text in app.markdown)
    assert app.error[0].value == "Quantizing did not work. Out of memory."
    app.button(key="leave-job").click().run()
    assert "job" not in app.query_params
    assert app.button(key="start-ptq")


def test_a_job_of_another_page_is_left_alone(app, jobs, store):
    opened(app, "2_PTQ.py", job=store.create("describe", DescribeParams()))
    assert app.button(key="start-ptq")


def test_a_deleted_job_in_the_address_is_a_sentence(app, store):
    opened(app, "2_PTQ.py", job="ptq-gone")
    assert "There is no job 'ptq-gone'" in app.warning[0].value


def test_a_waiting_job_says_what_it_waits_for(app, store):
    jobs = [store.create("ptq", PtqParams(model=NETWORK, device="cpu", bits=bits)) for bits in (3, 4)]
    queue.settle(store)
    assert queue.claim(store, jobs[0])
    opened(app, "2_PTQ.py", job=jobs[1])
    assert "waiting: another job runs on cpu" in app.get("progress")[0].proto.text
