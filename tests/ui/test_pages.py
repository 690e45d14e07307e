"""Every page in Streamlit's test harness: headings, widgets, results from the store, sentences instead of traces."""

import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import qanalysis.ui.main
from qanalysis.jobs.store import Store
from qanalysis.ui import navigation

MAIN = qanalysis.ui.main.__file__
NETWORK = "sample:resnet20@none"


@pytest.fixture(scope="module")
def home_folder(tmp_path_factory):
    """One store for the module, so that a job is run once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def app(home_folder, monkeypatch):
    monkeypatch.setenv("QANALYSIS_HOME", str(home_folder))
    return AppTest.from_file(MAIN, default_timeout=120)


def opened(app: AppTest, page: str, **query: str) -> AppTest:
    for key, value in {"model": NETWORK, **query}.items():
        app.query_params[key] = value
    app.run()
    return app if page == "0_Home.py" else app.switch_page(f"../../pages/{page}").run()


def until_done(app: AppTest, seconds: float = 120) -> AppTest:
    """Runs the page again until its job has ended."""
    deadline = time.monotonic() + seconds
    while app.get("progress"):
        assert time.monotonic() < deadline
        time.sleep(0.3)
        app.run()
    return app


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        ("0_Home.py", "What does int8 do to this network?"),
        ("1_Calibration.py", "Calibration"),
        ("2_PTQ.py", "Post-training quantization"),
    ],
)
def test_page_opens(app, page, heading):
    opened(app, page)
    assert not app.exception
    assert app.title[0].value == heading


def test_pages_are_all_declared():
    main = Path(navigation.__file__).read_text()
    for page in Path("pages").glob("*.py"):
        assert page.name in main


def test_home_shows_numbers_when_the_job_is_done(app):
    until_done(opened(app, "0_Home.py"))
    assert not app.exception
    values = {metric.label: metric.value for metric in app.metric}
    assert values["Layers to quantize"] == "22"
    assert values["fp32 accuracy"].endswith("%")
    assert any("random weights" in warning.value for warning in app.warning)


def test_calibration_shows_a_layer_and_its_costs(app):
    until_done(opened(app, "1_Calibration.py", samples="16"))
    assert not app.exception
    assert app.selectbox(key="layer").value == "conv1"
    costs = app.dataframe[0].value
    assert list(costs["calibration"])[-1] == "custom"
    assert (costs["values clipped %"] >= 0).all()


def test_the_custom_cutoff_follows_slider_and_number(app):
    until_done(opened(app, "1_Calibration.py", samples="16"))
    amax = app.dataframe[0].value.set_index("calibration")["cutoff"]["max"]
    app.slider(key="custom-percent").set_value(10.0).run()
    assert app.number_input(key="custom-value").value == pytest.approx(amax / 10, rel=1e-3)
    app.number_input(key="custom-value").set_value(amax / 2).run()
    assert app.slider(key="custom-percent").value == pytest.approx(50, abs=0.5)
    costs = app.dataframe[0].value.set_index("calibration")
    assert costs["cutoff"]["custom"] == pytest.approx(amax / 2, rel=1e-3)


def test_ptq_waits_for_the_button_and_then_shows_the_table(app):
    query = {"cal-samples": "16", "eval-samples": "32"}
    opened(app, "2_PTQ.py", **query)
    assert not app.metric
    app.button(key="start-ptq").click().run()
    until_done(app)
    assert not app.exception
    table = app.dataframe[0].value
    assert table["calibration"].iloc[0] == "max"
    assert list(table["best"]).count("★") == 1


def test_an_unknown_model_is_a_sentence(app):
    until_done(opened(app, "0_Home.py", model="sample:nothing"))
    assert not app.exception
    assert any("Unknown sample model 'nothing'" in error.value for error in app.error)


def test_a_home_that_cannot_be_written_is_a_sentence(app, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("QANALYSIS_HOME", str(tmp_path / "file"))
    opened(app, "0_Home.py")
    assert not app.exception
    assert any("QANALYSIS_HOME" in error.value for error in app.error)


def test_python_names_need_the_server_s_permission(app, home_folder):
    opened(app, "0_Home.py", model="python:os:getcwd")
    assert any("QANALYSIS_ALLOW_PYTHON=1" in error.value for error in app.error)
    assert not any(job.name.endswith("getcwd") for job in (home_folder / "jobs").glob("*"))
    assert Store(home_folder).latest("evaluate", _evaluate("python:os:getcwd")) is None


def _evaluate(model: str):
    from qanalysis.schema.params import EvaluateParams

    return EvaluateParams(model=model)
