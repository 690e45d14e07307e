"""The sensitivity page in Streamlit's test harness: measure, switch layers, save the plan, use it on another page."""

import pytest
from streamlit.testing.v1 import AppTest

from qanalysis.schema import saved_plan
from tests.ui.visit import metrics, opened, started

QUERY = {
    "model": "sample:resnet20@none",
    "wbits": "4",
    "abits": "4",
    "sensitivity-images": "32",
    "cal-samples": "16",
    "most": "2",
}


@pytest.fixture
def app(app):
    """The page with its result."""
    return started(opened(app, "3_Sensitivity.py", **QUERY), "sensitivity")


def _integers(app: AppTest) -> str:
    return next(metric.delta for metric in app.metric if metric.label == "Work in integers")


def test_the_page_shows_what_was_measured(app):
    assert not app.exception
    assert app.title[0].value == "Sensitivity"
    values = metrics(app)
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
