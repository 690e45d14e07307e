"""Every page in Streamlit's test harness: headings, widgets, results from the store, sentences instead of traces."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from qanalysis.jobs.store import Store
from qanalysis.schema import saved_plan
from qanalysis.schema.params.accuracy import CalibrateParams, EvaluateParams, WeightsParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.saved_plan import SavedPlan
from qanalysis.ui import navigation
from tests.ui import visit
from tests.ui.visit import metrics, started, until_done

NETWORK = "sample:resnet20@none"


def opened(app: AppTest, page: str, **query: str) -> AppTest:
    return visit.opened(app, page, **{"model": NETWORK, **query})


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
    values = metrics(app)
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
    started(app, "ptq")
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
    assert Store(home_folder).latest("evaluate", EvaluateParams(model="python:os:getcwd")) is None


@pytest.fixture
def plan(app):
    """A saved plan of 5-bit weights and affine 6-bit activations."""
    bits = Plan(weight_bits=5, activation_bits=6, activation_scheme="affine", skip=frozenset({"conv1"}))
    saved_plan.save(SavedPlan(name="five", model=NETWORK, sites=("conv1", "fc"), plan=bits))
    yield bits
    saved_plan.delete("five")


def _labelled(app: AppTest, kind: str, label: str):
    (widget,) = [widget for widget in app.get(kind) if widget.label == label]
    return widget


def test_a_plan_sets_the_bits_of_the_weights_and_says_so(app, plan, home_folder):
    opened(app, "1_Calibration.py", view="Weights", plan="five", **{"weight-bits": "3"})
    slider = _labelled(app, "slider", "Bits of the weights")
    assert (slider.value, slider.disabled) == (5, True)
    assert any("also in layers that it leaves in floating point" in caption.value for caption in app.caption)
    started(app, "weights")
    assert not app.exception
    assert any(heading.value.endswith("int5") for heading in app.header)
    job = Store(home_folder).latest("weights", WeightsParams(model=NETWORK, data="sample:cifar10", bits=5))
    assert job.state == "finished"


def test_a_plan_sets_bits_and_scheme_of_the_activations(app, plan, home_folder):
    opened(app, "1_Calibration.py", plan="five", samples="16", bits="3")
    assert (_labelled(app, "slider", "Bits").value, _labelled(app, "slider", "Bits").disabled) == (6, True)
    assert _labelled(app, "selectbox", "Scheme").value == "affine"
    until_done(app)
    params = CalibrateParams(
        model=NETWORK, data="sample:cifar10", calibration_samples=16, bits=6, activation_scheme="affine"
    )
    assert Store(home_folder).latest("calibrate", params).state == "finished"


def test_without_a_plan_the_sliders_are_free(app):
    opened(app, "1_Calibration.py", samples="16", bits="3")
    assert (_labelled(app, "slider", "Bits").value, _labelled(app, "slider", "Bits").disabled) == (3, False)
