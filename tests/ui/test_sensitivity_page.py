"""The sensitivity page in Streamlit's test harness: measure, switch layers, save the plan, use it on another page."""

import time

import pytest
from streamlit.testing.v1 import AppTest

import qanalysis.ui.main
from qanalysis.schema import saved_plan

QUERY = {
    "model": "sample:resnet20@none",
    "wbits": "4",
    "abits": "4",
    "sensitivity-images": "32",
    "cal-samples": "16",
    "most": "2",
}


@pytest.fixture(scope="module")
def home_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def app(home_folder, monkeypatch):
    monkeypatch.setenv("QANALYSIS_HOME", str(home_folder))
    app = AppTest.from_file(qanalysis.ui.main.__file__, default_timeout=120)
    for key, value in QUERY.items():
        app.query_params[key] = value
    app.run()
    app.switch_page("../../pages/3_Sensitivity.py").run()
    if _has(app, "start-sensitivity"):
        app.button(key="start-sensitivity").click().run()
    deadline = time.monotonic() + 120
    while app.get("progress"):
        assert time.monotonic() < deadline
        time.sleep(0.3)
        app.run()
    return app


def _has(app: AppTest, key: str) -> bool:
    return any(button.key == key for button in app.button)


def _values(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def _integers(app: AppTest) -> str:
    return next(metric.delta for metric in app.metric if metric.label == "Work in integers")


def test_the_page_shows_what_was_measured(app):
    assert not app.exception
    assert app.title[0].value == "Sensitivity"
    values = _values(app)
    assert values["Most sensitive layer"]
    assert values["fp32"].endswith("%")
    assert values["Work in integers"] == "100.0 %"


def test_a_known_step_is_switched_and_undone_without_a_job(app):
    app.number_input(key="plan-top").set_value(1).run()
    app.button(key="plan-top-float").click().run()
    assert not app.exception
    assert _integers(app) == "21 of 22 layers"
    app.button(key="plan-undo").click().run()
    assert _integers(app) == "22 of 22 layers"


def test_a_saved_plan_is_offered_on_every_page(app):
    app.number_input(key="plan-top").set_value(1).run()
    app.button(key="plan-top-float").click().run()
    app.text_input(key="plan-name").set_value("mine").run()
    app.button(key="plan-save").click().run()
    assert not app.exception
    kept = saved_plan.find("mine")
    assert len(kept.plan.skip) == 1
    assert kept.plan.weight_bits == 4
    app.run()
    app.selectbox(key="plan").set_value("mine").run()
    app.switch_page("../../pages/2_PTQ.py").run()
    assert not app.exception
    assert any("Plan **mine** is in force" in note.value for note in app.info)
    saved_plan.delete("mine")


def test_a_name_that_is_none_is_a_sentence(app):
    app.text_input(key="plan-name").set_value("../up").run()
    assert not app.exception
    assert any("letters, digits" in error.value for error in app.error)
