"""The dashboard in Streamlit's test harness, with one store for the tests of a module, so that each job is run once."""

import pytest
from streamlit.testing.v1 import AppTest

import qanalysis.ui.main
from qanalysis.jobs.local import LocalRunner
from qanalysis.jobs.store import Store


@pytest.fixture(scope="module")
def home_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def app(home_folder, monkeypatch):
    """The dashboard before its first run."""
    monkeypatch.setenv("QANALYSIS_HOME", str(home_folder))
    return AppTest.from_file(qanalysis.ui.main.__file__, default_timeout=120)


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    """A store of its own for one test, whose jobs are not started: no process is needed to draw a page."""
    monkeypatch.setenv("QANALYSIS_HOME", str(tmp_path))
    monkeypatch.setattr(LocalRunner, "_start", lambda self, job_id: None)
    return Store(tmp_path)
