"""`qanalysis jobs`: what the dashboard's jobs do, from the command line."""

import json

import pytest

from qanalysis.cli import main
from qanalysis.jobs import queue
from qanalysis.jobs.local import LocalRunner
from qanalysis.jobs.store import Store
from qanalysis.schema.params.accuracy import DescribeParams, PtqParams


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("QANALYSIS_HOME", str(tmp_path))
    return Store(tmp_path)


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch):
    monkeypatch.setattr(LocalRunner, "_start", lambda self, job_id: None)


@pytest.fixture
def failed(store):
    job_id = store.create("ptq", PtqParams(model="sample:resnet20@none", bits=4))
    queue.end(store, job_id, "failed", error="Out of memory.")
    return job_id


def test_jobs_are_listed(store, failed, capsys):
    queued = store.create("describe", DescribeParams())
    assert main(["jobs", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    named = [line.split()[:2] for line in lines if line.split()[0] in ("queued", "failed")]
    assert named == [["queued", queued], ["failed", failed]]


def test_an_empty_store_lists_nothing(store, capsys):
    assert main(["jobs", "list"]) == 0
    assert "There are no jobs" in capsys.readouterr().out


def test_jobs_are_listed_as_json(store, failed, capsys):
    assert main(["jobs", "list", "--json"]) == 0
    (job,) = json.loads(capsys.readouterr().out)
    assert (job["id"], job["state"], job["error"], job["params"]["bits"]) == (failed, "failed", "Out of memory.", 4)


def test_a_job_is_shown_by_the_end_of_its_id(store, failed, capsys):
    assert main(["jobs", "show", failed[-6:]]) == 0
    printed = capsys.readouterr().out
    assert failed in printed
    assert "Out of memory." in printed
    assert "bits      4" in printed
    assert main(["jobs", "show", failed, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["folder"] == str(store.folder(failed))


def test_a_job_is_resumed_cancelled_retried_and_deleted(store, failed, capsys):
    for verb, state in [("resume", "queued"), ("cancel", "cancelled"), ("retry", "queued"), ("cancel", "cancelled")]:
        assert main(["jobs", verb, failed]) == 0
        assert capsys.readouterr().out == f"{failed}: {state}\n"
        assert store.job(failed).state == state
    assert main(["jobs", "delete", failed]) == 0
    assert not store.folder(failed).exists()


@pytest.mark.parametrize("verb", ["show", "cancel", "resume", "retry", "delete"])
def test_an_unknown_job_is_a_sentence(store, verb, capsys):
    assert main(["jobs", verb, "nothing"]) == 1
    assert "There is no job 'nothing'" in capsys.readouterr().err


def test_an_end_that_fits_several_jobs_is_a_sentence(store, failed, capsys):
    store.create("describe", DescribeParams())
    assert main(["jobs", "show", ""]) == 1
    assert "2 jobs end with ''" in capsys.readouterr().err


def test_a_live_job_is_not_deleted(store, capsys):
    job_id = store.create("describe", DescribeParams())
    assert main(["jobs", "delete", job_id]) == 1
    assert "cancel it before you delete it" in capsys.readouterr().err


def test_the_worker_s_own_command_refuses_a_job_that_it_was_not_given(store, capsys):
    assert main(["job", store.create("describe", DescribeParams())]) == 1
    assert "not the turn" in capsys.readouterr().err


def test_an_unknown_engine_is_a_sentence(store, monkeypatch, capsys):
    monkeypatch.setenv("QANALYSIS_RUNNER", "moon")
    assert main(["jobs", "list"]) == 1
    assert "Unknown runner 'moon' in QANALYSIS_RUNNER; choose from local." in capsys.readouterr().err
