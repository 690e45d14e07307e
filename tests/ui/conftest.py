"""The dashboard in Streamlit's test harness, with one store for the tests of a module, so that each job is run once."""

import pytest
from streamlit.testing.v1 import AppTest

import qanalysis.ui.main


@pytest.fixture(scope="module")
def home_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def app(home_folder, monkeypatch):
    """The dashboard before its first run."""
    monkeypatch.setenv("QANALYSIS_HOME", str(home_folder))
    return AppTest.from_file(qanalysis.ui.main.__file__, default_timeout=120)
