"""The benchmark page in Streamlit's test harness: every state of it, and what it hands on to other pages."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from qanalysis.jobs import queue
from qanalysis.jobs.state import process_identity
from qanalysis.jobs.store import RESULT, Store
from qanalysis.schema import saved_plan
from qanalysis.schema.engines import EngineCard, Machine, Processors
from qanalysis.schema.params.accuracy import EvaluateParams
from qanalysis.schema.params.deploy import BenchmarkParams, ExportParams, FastestParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.saved_plan import SavedPlan
from qanalysis.ui.benchmark import machine
from tests.engines.test_tensorrt import LAYERS, TIMES
from tests.figures import benchmarks
from tests.ui import visit
from tests.ui.visit import metrics, started

PAGE = "5_Benchmark.py"
NETWORK = "sample:resnet20@none"
TRADEOFF, EXPORT, MACHINE = ({"benchmark-view": name} for name in ("Accuracy against speed", "Export", "Engines here"))
DEFAULTS = {"model": NETWORK, "data": "sample:cifar10"}
HERE = Machine(
    engines=(
        EngineCard(
            engine="openvino", available=True, reason=None, version="1", precisions=("fp32", "int8"), purpose="CPUs"
        ),
        EngineCard(
            engine="tensorrt", available=False, reason="There is no GPU.", version="", precisions=(), purpose="GPUs"
        ),
    ),
    features=Processors(
        cpu="a CPU",
        cores=2,
        cpu_features=("AVX2", "AVX-512 VNNI"),
        gpus=(),
        gpu_features=(),
        int8_ratio=4.0,
        bf16_ratio=1.0,
    ),
)


@pytest.fixture
def app(tmp_path, monkeypatch) -> AppTest:
    import qanalysis.ui.main

    monkeypatch.setenv("QANALYSIS_HOME", str(tmp_path))
    store = Store(tmp_path)  # on the way the home page would start to measure the model
    queue.end(store, store.create("evaluate", EvaluateParams(**DEFAULTS)), "cancelled")
    monkeypatch.setattr(machine, "machine", lambda: HERE)
    return AppTest.from_file(qanalysis.ui.main.__file__, default_timeout=120)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path)


def opened(app: AppTest, **query: str) -> AppTest:
    visit.opened(app, PAGE, **{"model": NETWORK, **query})
    assert not app.exception
    return app


def running(store: Store, analysis: str, params) -> str:
    """A job that this very process seems to run."""
    job = store.create(analysis, params)
    queue.end(store, job, "started", **process_identity())  # it holds no place in the queue
    return job


def finished(store: Store, analysis: str, result) -> str:
    job = running(store, analysis, result.params)
    result.save(store.folder(job) / RESULT)
    store.emit(job, "finished")
    return job


def benchmark(**changes):
    return benchmarks.benchmark(params=BenchmarkParams(**DEFAULTS), **changes)


def fastest(**changes):
    return benchmarks.fastest(params=FastestParams(**DEFAULTS, batch=8, evaluation_samples=2000), **changes)


def captions(app: AppTest) -> str:
    return "\n".join(caption.value for caption in app.caption)


def table_with(app: AppTest, column: str):
    return next(frame.value for frame in app.dataframe if column in frame.value.columns)


def test_nothing_yet_waits_for_the_button(app):
    opened(app)
    assert app.title[0].value == "Benchmark"
    assert not app.metric
    assert any(button.key == "start-benchmark" for button in app.button)


def test_a_running_benchmark_shows_its_rows(app, store):
    job = running(store, "benchmark", BenchmarkParams(**DEFAULTS))
    store.emit(job, "progress", stage="batch 8", done=3, total=10, share=0.4)
    early = [row.model_dump(mode="json") | {"batch": 1} for row in benchmarks.ROWS[:2]]
    for row in early:
        store.emit(job, "row", **row)
    store.emit(job, "table", rows=[row.model_dump(mode="json") for row in benchmarks.ROWS])
    opened(app)
    assert app.get("progress")
    assert list(table_with(app, "precision")["batch"]) == [1, 1, 8, 8, 8, 8]
    assert any(heading.value == "Batch 8" for heading in app.header)


def test_a_result_says_what_int8_gains_and_whether_it_ran(app, store):
    finished(store, "benchmark", benchmark())
    opened(app)
    shown = metrics(app)
    assert shown["int8 in OpenVINO"] == "1 ms"
    assert shown["Speed-up over fp32"] == "3.00 ×"
    assert shown["Same answers"] == "99.90 %"
    assert any("3.00 times as fast" in note.value for note in app.success)
    assert "ONNX Runtime ran 0 of 3 layers in int8" in captions(app)
    assert "TensorRT is missing. There is no NVIDIA GPU here." in captions(app)
    assert list(table_with(app, "really int8")["really int8"]) == ["–", "3 of 3", "–", "0 of 3"]


def test_layers_that_do_not_pay_and_what_changes_of_precision_cost(app, store):
    finished(store, "benchmark", benchmark())
    opened(app)
    (warning,) = [note.value for note in app.warning if "does not pay" in note.value]
    assert "1 of 3 layers: `block.depthwise` (0.57 ×)" in warning
    assert metrics(app)["Changing precision"] == "0.15 ms"
    layers = table_with(app, "kernel, int8")
    assert list(layers["asked int8, ran"]) == ["int8"] * 3
    assert list(layers["kernel, int8"]) == ["brgemm_i8"] * 3


def test_a_layer_that_did_not_run_in_int8_is_named(app, store):
    stem = benchmarks.layer(benchmarks.SITES[0], 0.8, 0.7, ran={"fp32": "fp32", "int8": "fp32"})
    layers = benchmarks.LAYERS.model_copy(update={"rows": (stem, *benchmarks.LAYERS.rows[1:])})
    rows = (benchmarks.ROWS[0], benchmarks.row(int8_sites=2))
    finished(store, "benchmark", benchmark(layers=layers, rows=rows))
    opened(app)
    warnings = "\n".join(note.value for note in app.warning)
    assert "only 2 of the plan's 3 layers really ran in int8" in warnings
    assert "1 layer of the plan did not run in int8" in warnings
    assert "`stem` in fp32" in warnings


def test_a_busy_machine_is_a_warning(app, store):
    finished(store, "benchmark", benchmark(warnings=("Other processes used 40 % of this machine's cores.",)))
    opened(app)
    assert any("40 %" in note.value for note in app.warning)


def test_only_floating_point_is_no_verdict(app, store):
    finished(store, "benchmark", benchmark(rows=benchmarks.ROWS[:1], layers=None, points=(), agreement=()))
    opened(app)
    assert not app.success
    assert any("all in floating point" in note.value for note in app.info)


def test_a_failed_benchmark_says_why(app, store):
    job = running(store, "benchmark", BenchmarkParams(**DEFAULTS))
    queue.end(store, job, "failed", error="There is nothing to measure: tensorrt was not measured.")
    opened(app)
    assert any("nothing to measure" in error.value for error in app.error)
    assert any(button.label == "Run again" for button in app.button)


def test_bad_settings_are_a_sentence(app):
    opened(app, **{"bench-batches": "none"})
    assert any("batches" in error.value for error in app.error)
    assert not any(button.key == "start-benchmark" for button in app.button)


def test_a_point_s_plan_is_kept_and_in_force_on_every_page(app, store):
    finished(store, "benchmark", benchmark())
    opened(app, **TRADEOFF)
    app.session_state["benchmark-point"] = "measured without stem"
    app.run()
    assert any(
        "**without stem**: 75.80 % in 1.5 ms (measured); in floating point: `stem`" in m.value for m in app.markdown
    )
    app.text_input(key="point-name").set_value("mine").run()
    app.button(key="point-save").click().run()
    assert not app.exception
    assert saved_plan.find("mine").plan == Plan(skip=frozenset({"stem"}))
    assert app.selectbox(key="plan").value == "mine"


def test_a_point_opens_on_sensitivity(app, store):
    finished(store, "benchmark", benchmark())
    opened(app, **TRADEOFF)
    app.session_state["benchmark-point"] = "measured without stem"
    app.run()
    app.button(key="point-sensitivity").click().run()
    assert not app.exception
    assert app.title[0].value == "Sensitivity"
    assert app.session_state["drafts-offered"] == ("stem",)


def test_the_search_says_what_it_chose_and_how_good_the_prediction_was(app, store):
    finished(store, "fastest", fastest())
    opened(app, **TRADEOFF)
    shown = metrics(app)
    assert shown["Fastest within 1 %"] == "0.97 ms"
    assert shown["Predicted"] == "0.95 ms"
    assert any("3.09 times as fast as fp32" in note.value for note in app.success)
    assert list(table_with(app, "tried")["within"]) == ["✗", "✓"]


def test_a_search_without_an_answer_says_so(app, store):
    nothing = dict.fromkeys(("plan", "accuracy", "predicted_ms", "measured_ms"))
    finished(store, "fastest", fastest(**nothing, steps=(benchmarks.step((), 70.0, 1.0),)))
    opened(app, **TRADEOFF)
    assert any("No plan that was tried loses 1 % or less" in note.value for note in app.warning)


def test_a_running_search_shows_its_steps(app, store):
    job = running(store, "fastest", FastestParams(**DEFAULTS, batch=8, evaluation_samples=2000))
    for step in benchmarks.fastest().steps:
        store.emit(job, "row", **step.model_dump(mode="json"))
    opened(app, **TRADEOFF)
    assert len(table_with(app, "tried")) == 2


def test_an_export_is_verified_and_can_be_downloaded(app, store):
    export = benchmarks.export(params=ExportParams(**DEFAULTS))
    job = running(store, "export", export.params)
    folder = store.folder(job)
    (folder / "n_int8.onnx").write_bytes(b"a network")
    export.model_copy(update={"folder": str(folder)}).save(folder / RESULT)
    store.emit(job, "finished")
    opened(app, **EXPORT)
    assert metrics(app)["Same answers"] == "99.90 %"
    assert any("Every layer of the file computes" in note.value for note in app.success)
    assert any(button.label == "Download" for button in app.get("download_button"))
    (folder / "n_int8.onnx").unlink()
    app.run()
    assert "It is gone: export again." in captions(app)


def test_an_export_that_seldom_agrees_is_a_warning(app, store):
    weak = benchmarks.export().verification.model_copy(update={"agreement": 98.0})
    finished(store, "export", benchmarks.export(params=ExportParams(**DEFAULTS), verification=weak))
    opened(app, **EXPORT)
    assert any("less than 99.5 %" in note.value for note in app.warning)


def test_engines_of_this_machine_and_why_others_are_missing(app):
    opened(app, **MACHINE)
    table = table_with(app, "here")
    assert list(table["here"]) == ["✓", "✗"]
    assert "**TensorRT** is missing. There is no GPU." in captions(app)
    assert metrics(app)["int8 over fp32"] == "4 ×"


def test_engines_that_cannot_be_listed_are_a_sentence(app, monkeypatch):
    def broken():
        raise ValueError("The engines could not be listed: no memory")

    monkeypatch.setattr(machine, "machine", broken)
    opened(app, **MACHINE)
    assert any("could not be listed" in error.value for error in app.error)


def test_the_command_for_tensorrt_and_its_profile(app):
    opened(app, **MACHINE)
    app.text_input(key="trt-shape").set_value("3x32x32").run()
    assert "--shapes=input:8x3x32x32" in app.code[0].value
    app.file_uploader(key="trt-profile").set_value(("profile.json", TIMES.encode(), "application/json"))
    app.file_uploader(key="trt-layers").set_value(("layers.json", LAYERS.encode(), "application/json"))
    app.run()
    assert not app.exception
    assert list(table_with(app, "really ran in")["really ran in"]) == ["int8", "fp16"]
    assert metrics(app)["Time in int8"] == f"{100 * 0.09 / 0.14:.1f} %"


@pytest.mark.parametrize("text", [b"{}", b"\xff\xfe", json.dumps([1]).encode()])
def test_another_file_than_a_profile_is_a_sentence(app, text):
    opened(app, **MACHINE)
    app.file_uploader(key="trt-profile").set_value(("profile.json", text, "application/json"))
    app.run()
    assert not app.exception
    assert any("trtexec" in error.value for error in app.error)


def test_a_bad_shape_is_a_sentence(app):
    opened(app, **MACHINE)
    app.text_input(key="trt-shape").set_value("large").run()
    assert any("whole numbers" in error.value for error in app.error)


def test_a_plan_of_another_model_is_refused_in_a_sentence(app):
    saved_plan.save(SavedPlan(name="other", model="sample:vit", sites=("a", "b"), plan=Plan()))
    query = {"plan": "other", "eval-samples": "16", "cal-samples": "16", **EXPORT}
    started(opened(app, **query), "export")
    assert not app.exception
    assert any("was made for sample:vit, not for this model" in error.value for error in app.error)


def test_a_real_benchmark_from_the_button_to_the_result(app):
    query = {
        "bench-seconds": "0.2",
        "bench-rounds": "2",
        "bench-gemm": "false",
        "bench-predict": "false",
        "eval-samples": "32",
        "cal-samples": "16",
    }
    started(opened(app, **query), "benchmark")
    assert not app.exception
    assert metrics(app)["Speed-up over fp32"].endswith("×")
    assert list(table_with(app, "really int8")["really int8"]).count("22 of 22") == 2
