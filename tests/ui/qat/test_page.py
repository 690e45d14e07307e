"""The QAT page in Streamlit's test harness: presets, a run, its result, Table 8, comparison, the trained network."""

import re

import pytest
from streamlit.testing.v1 import AppTest

import qanalysis.ui.main
from qanalysis.jobs.store import Store
from qanalysis.schema.params.qat import QatParams
from qanalysis.ui.qat import settings as qat_settings
from qanalysis.ui.qat import table8
from qanalysis.ui.qat.runs import names
from tests.ui import visit
from tests.ui.visit import metrics, started, until_done

QUERY = {
    "model": "sample:resnet20",
    "wbits": "4",
    "abits": "4",
    "start-calibration": "max",
    "qat-ranges": "learned (PACT)",
    "length": "steps",
    "amount": "3",
    "qat-train-samples": "64",
    "qat-train-batch-size": "16",
    "eval-samples": "32",
    "cal-samples": "16",
}


def opened(app: AppTest, page: str = "4_QAT.py", **query: str) -> AppTest:
    return visit.opened(app, page, **(QUERY | query))


def finished(app: AppTest) -> AppTest:
    started(opened(app), "qat")
    assert app.metric, [note.value for note in (*app.error, *app.warning, *app.exception)]
    return app


def test_a_run_shows_what_it_gained_and_its_network_opens_elsewhere(app):
    finished(app)
    assert not app.exception
    shown = metrics(app)
    assert shown["fp32"].endswith("%")
    assert {"PTQ, max", "QAT", "fp32 control"} <= set(shown)
    assert re.fullmatch(r"\d+\.\d\d ×", shown["Time of a step"])
    assert any("Training brings" in note.value for note in (*app.success, *app.warning, *app.info))
    app.button(key="open-ptq").click().run()
    assert not app.exception
    assert app.title[0].value == "Post-training quantization"
    assert app.selectbox(key="model").value.endswith("/qat.safetensors")
    assert app.slider(key="wbits").value == 4


def test_the_trained_network_brings_its_ranges_as_a_calibration(app):
    finished(app)
    store = Store()
    job = next(job for job in store.jobs() if job.analysis == "qat")
    network = f"checkpoint:{store.folder(job.id) / 'qat.safetensors'}"
    other = AppTest.from_file(qanalysis.ui.main.__file__, default_timeout=120)
    opened(other, "2_PTQ.py", model=network)
    chosen = other.multiselect(key="calibrations-trained").value
    assert chosen[:2] == ["trained", "max"]
    other.multiselect(key="calibrations-trained").set_value(["trained"]).run()
    next(button for button in other.button if button.key == "start-ptq").click().run()
    until_done(other)
    assert not other.exception
    result = store.result(job)
    trained = next(metric for metric in other.metric if metric.label == "Best: trained")
    assert trained.value == f"{result.qat.accuracy:.2f} %"


def test_a_network_that_was_not_fine_tuned_has_no_such_calibration(app):
    opened(app, "2_PTQ.py")
    assert "trained" not in app.multiselect(key="calibrations").options


def test_presets_fill_the_form_and_are_recognised(app):
    opened(app, **{"length": "10 % of the original", "qat-ranges": "fixed by calibration"})
    app.pills(key="qat-preset").set_value("Low bits").run()
    assert not app.exception
    assert app.number_input(key="qat-rate-share").value == qat_settings.LOW_BIT["rate_share"]
    assert app.selectbox(key="qat-activation-scheme").value == qat_settings.LOW_BIT["activation_scheme"]
    assert app.number_input(key="qat-train-samples").value == 64
    app.pills(key="qat-preset").set_value("5 minutes").run()
    assert (app.selectbox(key="length").value, app.number_input(key="amount").value) == ("minutes", 5.0)
    assert app.number_input(key="qat-learning-rate").value is None
    app.number_input(key="amount").set_value(7.0).run()
    assert app.pills(key="qat-preset").value is None


@pytest.mark.parametrize("name", qat_settings.PRESETS)
def test_every_preset_is_its_own(name):
    params = QatParams(**qat_settings.PRESETS[name])
    assert qat_settings.preset_of(params) == name


def test_everything_that_training_depends_on_can_be_edited(app):
    opened(app, **{"qat-preset": ""})
    drawn = {*(w.key for kind in (app.selectbox, app.number_input, app.toggle, app.slider) for w in kind)}
    named = {"bits": "wbits", "activation_bits": "abits", "calibration": "start-calibration"}
    named |= dict.fromkeys(("epochs", "steps", "minutes"), "length")
    named |= {"evaluation_samples": "eval-samples", "calibration_samples": "cal-samples"}
    elsewhere = {"model", "data", "task", "plan", "device", "batch_size", "weight_bits", "skip"}
    for field in QatParams.model_fields.keys() - elsewhere:
        assert named.get(field, qat_settings.key_of(field)) in drawn, field


def test_settings_that_contradict_each_other_are_a_sentence(app):
    opened(app, **{"qat-accumulate": "5"})
    assert not app.exception
    assert any("must be a multiple of accumulate" in error.value for error in app.error)


def test_learned_ranges_with_affine_activations_are_refused(app):
    opened(app, **{"qat-activation-scheme": "affine (zero point)"})
    assert not app.exception
    assert any("Learned ranges are symmetric" in error.value for error in app.error)
    assert not any(button.key == "start-qat" for button in app.button)


def test_table_8_has_the_finished_run_in_its_place(app):
    finished(app)
    app.segmented_control(key="qat-view").set_value("Table 8").run()
    assert not app.exception
    table = app.dataframe[0].value
    assert list(table[""]) == ["fp32", "PTQ", "QAT, fixed ranges", "QAT, learned ranges", "fp32 control"]
    assert list(table["from max"])[2] == "not run"
    assert "(" in list(table["from max"])[3]
    assert app.button(key="qat-grid-start").label == "Run the missing 3 of these 4"


def test_table_8_needs_a_length_that_all_share(app):
    opened(app, **{"qat-view": "Table 8", "length": "minutes"})
    assert not app.exception
    assert any("same number of steps" in note.value for note in app.info)


def test_comparison_lists_the_runs_of_this_model(app):
    finished(app)
    app.segmented_control(key="qat-view").set_value("Compare runs").run()
    assert not app.exception
    assert len(app.multiselect(key="qat-runs").value) == 1
    table = app.dataframe[0].value
    assert list(table["run"]) == ["learned from max"]
    assert list(table["steps"]) == [3]


def test_a_model_without_runs_says_so(app):
    opened(app, model="sample:vit", **{"qat-view": "Compare runs"})
    assert not app.exception
    assert any("has not been trained" in note.value for note in app.info)


def test_the_grid_varies_ranges_and_start_and_trains_one_control():
    params = QatParams(bits=4, epochs=2, learning_rate=0.01, activation_scheme="affine")
    grid = table8.cells(params)
    assert list(grid) == [("fixed", "max"), ("fixed", "best"), ("learned", "max"), ("learned", "best")]
    assert all((one.ranges, one.calibration) == cell for cell, one in grid.items())
    assert {(one.bits, one.epochs, one.learning_rate) for one in grid.values()} == {(4, 2, 0.01)}
    assert {one.activation_scheme for one in grid.values()} == {"scale"}
    wanted = table8.missing(grid, dict.fromkeys(grid))
    assert [one.control for one in wanted] == [True, False, False, False]


def test_names_tell_runs_apart_by_what_differs(tmp_path):
    store = Store(tmp_path)
    settings = [
        {"ranges": "fixed"},
        {"ranges": "learned", "epochs": 2},
        {"ranges": "learned", "epochs": 4, "learning_rate": 0.01},
        {"ranges": "fixed"},
    ]
    jobs = [store.job(store.create("qat", QatParams(**one))) for one in settings]
    called = list(names(jobs).values())
    assert called[1:3] == ["learned from best · 2 epochs", "learned from best · 4 epochs · lr 0.01"]
    assert called[0].startswith("fixed from best · ")
    other = store.job(store.create("qat", QatParams(bits=4)))
    assert list(names([*jobs[1:3], other]).values())[2] == "4/4 fixed from best"
