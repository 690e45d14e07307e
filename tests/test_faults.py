"""A fault of ours looks like one: it is never told as the user's mistake, and its traceback is kept."""

from dataclasses import replace

import pytest

from qanalysis.cli import main
from qanalysis.jobs import worker
from qanalysis.jobs.local import LocalRunner
from qanalysis.jobs.store import Store
from qanalysis.schema.analyses import ANALYSES
from qanalysis.schema.catalog import home
from qanalysis.schema.params.accuracy import DescribeParams
from qanalysis.ui.home import page


def bug(*_: object, **__: object) -> None:
    raise ValueError("operands could not be broadcast together")


@pytest.fixture(autouse=True)
def _broken(monkeypatch):
    monkeypatch.setitem(ANALYSES, "describe", replace(ANALYSES["describe"], function="tests.test_faults:bug"))


def test_on_the_command_line(capsys):
    assert main(["describe"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("qanalysis: This is a fault of qanalysis, not of what you asked for: ValueError: operands")
    assert said.count("\n") == 1
    assert 'raise ValueError("operands' in (home() / "last-fault.txt").read_text()


def test_with_its_traceback_where_it_is_asked_for(capsys):
    assert main(["--debug", "describe"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_in_a_job(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(LocalRunner, "_start", lambda self, job_id: None)
    runner = LocalRunner(Store(tmp_path))
    job_id = runner.submit("describe", DescribeParams())
    assert worker.work(runner, job_id) == 1
    assert runner.store.job(job_id).error.startswith("This is a fault of qanalysis")
    assert "Traceback" in capsys.readouterr().err  # which is the job's log


def test_on_a_page(monkeypatch, capsys):
    from streamlit.testing.v1 import AppTest

    import qanalysis.ui.main

    monkeypatch.setattr(page, "page", bug)
    app = AppTest.from_file(qanalysis.ui.main.__file__, default_timeout=60).run()
    assert not app.exception
    (told,) = app.error
    assert "This is a fault of qanalysis" in told.value
    assert "Sorry" in told.value
    assert "operands could not be broadcast" in app.code[0].value
    assert "Traceback" in capsys.readouterr().err
