"""Parameters and results: frozen, strict, and the same after a trip through JSON."""

import json
import math

import pytest
from pydantic import ValidationError

from qanalysis.schema.advice import Advice
from qanalysis.schema.answers import Answers, AnswersResult
from qanalysis.schema.base import Record, finite
from qanalysis.schema.benchmark import (
    AgreementRow,
    BenchmarkEnvironment,
    BenchmarkResult,
    BenchmarkRow,
    FastestResult,
    GemmRow,
    Latency,
    LayerRow,
    Layers,
    Load,
    PlanPoint,
    Roofline,
    SpeedStep,
)
from qanalysis.schema.export import ExportedFile, ExportResult, SiteParity, Verification
from qanalysis.schema.paper import paper, paper_row
from qanalysis.schema.params import (
    PARAMS,
    CalibrateParams,
    PartialParams,
    PlanParams,
    PtqParams,
    SensitivityParams,
    TrialsParams,
)
from qanalysis.schema.plan import Override, Plan
from qanalysis.schema.qat import CalibrationScore, QatEpoch, QatRecipe, QatResult, QatRun, QatStep
from qanalysis.schema.qat_params import QatParams
from qanalysis.schema.result import DataCard, Environment, ModelCard, Score
from qanalysis.schema.results import (
    RESULTS,
    CalibrateResult,
    ChannelStatistics,
    DescribeResult,
    EvaluateResult,
    PtqResult,
    PtqRow,
    WeightsResult,
    WeightsRow,
)
from qanalysis.schema.saved_plan import SavedPlan
from qanalysis.schema.sensitivity import (
    Change,
    Partial,
    PartialResult,
    PartialStep,
    PlanResult,
    Proxy,
    SensitivityResult,
    SensitivityRow,
    Trial,
    TrialsResult,
)
from qanalysis.schema.site import Coverage, NotCovered, Site
from qanalysis.schema.speed import Check, Edge, SiteSpeed, SpeedModel
from qanalysis.schema.task_params import TaskParams
from qanalysis.schema.workflow import Candidate, Recommendation, Speed, StageNote, WorkflowResult

SITE = Site(name="fc", kind="linear", macs=12, roles=("input",), input_shape=(1, 3), weight_shape=(4, 3))
COVERAGE = Coverage(sites=(SITE,), not_covered=(NotCovered(module="lstm", operation="lstm", reason="not yet"),))
SCORE = Score(accuracy=91.25, standard_error=0.28, interval=(90.6, 91.8), samples=10_000)
ROW = PtqRow(
    calibration="percentile:99.99",
    accuracy=90.5,
    relative=-0.82,
    standard_error=0.3,
    interval=(90.0, 91.0),
    difference_interval=(-1.0, -0.5),
    agreement=98.0,
    sqnr=None,
)
COMMON = {
    "environment": Environment.here("cpu", 2),
    "model": ModelCard(name="m", origin="o", trained=False, architecture="a", parameters=12),
    "data": DataCard(name="d", origin="o", labelled=True, calibration=4, evaluation=5, classes=("cat", "dog")),
    "seconds": 0.1 + 0.2,
}
CHANGE = {
    "accuracy": 89.0,
    "relative": -2.2,
    "interval": (-3.0, -1.0),
    "kl": 0.25,
    "kl_interval": (0.2, 0.3),
    "sqnr": None,
    "samples": 512,
}
PARTIAL = Partial(
    search="order",
    steps=(
        PartialStep(skipped=(), int8_mac_share=100.0, **CHANGE),
        PartialStep(skipped=("fc",), int8_mac_share=99.0, **CHANGE),
    ),
    chosen=1,
    evaluations=2,
)
OVERRIDES = {"fc": Override(weight_bits=8, calibration="entropy")}
SAVED = SavedPlan(name="mine", model="sample:n", sites=("fc",), plan=Plan(weight_bits=4, overrides=OVERRIDES))
RUN = QatRun(
    phase="qat",
    steps=(QatStep(step=2, epoch=1.0, loss=0.5, learning_rate=1e-5, images_per_second=300.0),),
    epochs=(QatEpoch(epoch=1, step=2, validation_accuracy=None, validation_loss=None, accuracy=88.0),),
    best_epoch=1,
    step_seconds=0.25,
    stopped="as asked",
)
BENCHED = BenchmarkEnvironment(
    **Environment.here("cpu", 2).model_dump(),
    cpu="CPU",
    cores=2,
    cpu_features=("AVX-512 VNNI",),
    gpus=(),
    gpu_features=(),
    int8_ratio=4.0,
    bf16_ratio=1.0,
    engines={"openvino": "2026"},
    missing={"tensorrt": "no GPU"},
    machine_load=Load(average=0.5, others=0.01),
)
SPEED = SpeedModel(
    engine="openvino",
    batch=1,
    threads=0,
    sites=(SiteSpeed(site="fc", int8_ms=0.1, float_ms=0.3, inputs=(Edge(sources=(), megabytes=0.1),)),),
    int8_ms=1.0,
    float_ms=2.0,
    checks=(Check(skipped=1, measured_ms=2.0, predicted_ms=2.1, fitted=False),),
)
INSTANCES = {
    "describe": DescribeResult(**COMMON, params=PARAMS["describe"](), coverage=COVERAGE),
    "evaluate": EvaluateResult(
        **COMMON, params=PARAMS["evaluate"](), coverage=COVERAGE, metric="accuracy", fp32=SCORE, warnings=("w",)
    ),
    "calibrate": CalibrateResult(
        **COMMON,
        params=CalibrateParams(calibrations=("max",)),
        coverage=COVERAGE,
        ranges={"max": {"fc": 1 / 3, "dead": None}},
        samples=4,
    ),
    "ptq": PtqResult(
        **COMMON,
        params=PtqParams(skip=("fc",)),
        coverage=COVERAGE,
        metric="agreement",
        fp32=100.0,
        fp32_score=SCORE,
        rows=(ROW,),
        best="percentile:99.99",
        ranges={"max": {"fc": 5e-324}},
        sites=({"name": "fc", "kind": "linear", "macs": 12},),
        quantized_sites=("fc",),
        int8_mac_share=100.0,
        float_sites={"lstm": "not yet"},
    ),
    "weights": WeightsResult(
        **COMMON,
        params=PARAMS["weights"](),
        metric="accuracy",
        fp32=91.25,
        rows=(
            WeightsRow(
                granularity="per-tensor",
                folded=True,
                accuracy=1.0,
                relative=-99.0,
                standard_error=0.1,
                interval=(0, 2),
                difference_interval=(-91, -89),
            ),
        ),
        channels=(ChannelStatistics(site="fc", amax=(0.1, 1e-30), folded_amax=None),),
        folded_pairs=3,
    ),
    "sensitivity": SensitivityResult(
        **COMMON,
        params=SensitivityParams(calibration="percentile:99.9", skip=("conv1",)),
        coverage=COVERAGE,
        metric="accuracy",
        fp32=91.0,
        quantized=88.5,
        rows=(SensitivityRow(site="fc", macs=640, tie=0, **CHANGE),),
        stopped={"fc": "harmless"},
        partial=PARTIAL,
        proxies=(Proxy(name="fisher", values={"fc": None}, correlation_kl=None, correlation_accuracy=-0.5),),
        float_sites={"conv1": "skipped by the plan"},
        fp32_seconds=1.5,
        total_seconds=9.0,
        replayed_bytes=2**20,
    ),
    "partial": PartialResult(
        **COMMON,
        params=PartialParams(order=("fc",), search="greedy"),
        coverage=COVERAGE,
        metric="accuracy",
        fp32=91.0,
        quantized=88.5,
        order=("fc",),
        partial=PARTIAL,
        plan=Plan(skip=frozenset({"fc"})),
    ),
    "plan": PlanResult(
        **COMMON,
        params=PlanParams(plan=SAVED),
        coverage=COVERAGE,
        metric="agreement",
        fp32=100.0,
        change=Change(**CHANGE),
        quantized_sites=("fc",),
        float_sites={},
        int8_mac_share=100.0,
        model_bytes=1000,
        fp32_bytes=4000,
    ),
    "export": ExportResult(
        **COMMON,
        params=PARAMS["export"](flavours=("onnx", "openvino"), residual="int8"),
        coverage=COVERAGE,
        metric="accuracy",
        folder="/tmp",
        files=(ExportedFile(name="m_int8.onnx", flavour="onnx", bytes=10, sha256="0" * 64),),
        plan=Plan(),
        opset=19,
        fp32=91.0,
        quantized_sites=("fc",),
        float_sites={},
        residuals=("block:add_0",),
        verification=Verification(
            runtime="onnxruntime 1",
            sites=(SiteParity(site="fc", int8=True, before=1e-7, output=1e-6),),
            tolerance=1e-3,
            samples=4,
            agreement=99.5,
            simulated=90.5,
            measured=90.4,
            logits=0.01,
            noise=0.005,
        ),
        fp32_bytes=48,
        export_seconds=1.5,
    ),
    "qat": QatResult(
        **COMMON,
        params=QatParams(bits=4, minutes=1.5),
        coverage=COVERAGE,
        metric="accuracy",
        fp32=SCORE,
        calibration="percentile:99.9",
        ptq=Change(**CHANGE),
        qat=Change(**CHANGE),
        fp32_control=None,
        calibrations=(CalibrationScore(calibration="max", accuracy=66.2, relative=-28.4),),
        epochs=RUN.epochs,
        run=RUN,
        control=RUN.model_copy(update={"phase": "fp32"}),
        recipe=QatRecipe(
            optimizer="sgd",
            learning_rate=1e-3,
            final_learning_rate=1e-5,
            weight_decay=5e-4,
            label_smoothing=0.1,
            steps=2,
            steps_per_epoch=2,
            samples=256,
            batch_size=128,
            notes=("n",),
        ),
        step_seconds=0.25,
        fp32_step_seconds=0.2,
        plan=Plan(weight_bits=4, activation_bits=4),
        sites=("fc",),
        float_sites={},
        ranges_before={"fc": 1 / 3, "dead": None},
        ranges={"fc": 0.25, "dead": None},
        checkpoint="qat.safetensors",
    ),
    "answers": AnswersResult(
        **COMMON,
        params=PARAMS["answers"](bits=4),
        metric="accuracy",
        labels=(0, 1),
        fp32=Answers(classes=(0, 1), confidence=(0.9, 0.8)),
        quantized={"max": Answers(classes=(0, 2), confidence=(0.7, 0.5))},
        images="images.npz",
        pictured=(1,),
    ),
    "benchmark": BenchmarkResult(
        **{**COMMON, "environment": BENCHED},
        params=PARAMS["benchmark"](batches=(1,), plans=(SAVED,)),
        coverage=COVERAGE,
        metric="accuracy",
        fp32=91.0,
        rows=(
            BenchmarkRow(
                engine="openvino",
                precision="int8",
                plan="plan",
                batch=1,
                latency_ms=Latency(min=1.0, median=1.1, p95=1.3, spread=0.1, runs=50),
                throughput=909.0,
                speedup=2.5,
                speedup_interval=(2.4, 2.6),
                int8_sites=1,
                planned_sites=1,
                sites=1,
                memory_mb=150.0,
                file_mb=0.3,
                compile_seconds=0.5,
            ),
        ),
        agreement=(
            AgreementRow(
                engine="openvino",
                precision="int8",
                plan="plan",
                samples=4,
                agreement=99.5,
                accuracy=90.4,
                simulated=90.5,
            ),
        ),
        layers=Layers(
            engine="openvino",
            batch=1,
            rows=(
                LayerRow(
                    site="fc",
                    kind="linear",
                    macs=12,
                    planned=True,
                    ms={"fp32": 0.2, "int8": 0.1},
                    conversion_ms={"fp32": 0.0, "int8": 0.01},
                    ran={"fp32": "fp32", "int8": "int8"},
                    kernel={"int8": "brgemm"},
                    bound={"int8": "memory"},
                    speedup=1.8,
                ),
            ),
            other_ms={"fp32": 0.1},
            total_ms={"fp32": 0.3},
        ),
        gemm=(GemmRow(engine="openvino", size=128, precision="int8", ms=0.02, gops=200.0),),
        roofline=Roofline(peak_gops={"int8": 500.0}, bandwidth_gbs=12.0),
        speed=SPEED,
        points=(
            PlanPoint(name="plan", plan=Plan(), engine="openvino", batch=1, latency_ms=1.1, accuracy=90.5, front=True),
        ),
        float_sites={},
    ),
    "fastest": FastestResult(
        **{**COMMON, "environment": BENCHED},
        params=PARAMS["fastest"](target=0.5),
        coverage=COVERAGE,
        metric="accuracy",
        fp32=91.0,
        quantized=88.0,
        speed=SPEED,
        steps=(SpeedStep(skipped=("fc",), accuracy=91.0, relative=0.0, predicted_ms=2.0, accepted=True, why="all"),),
        plan=Plan(skip=frozenset({"fc"})),
        accuracy=91.0,
        predicted_ms=2.0,
        measured_ms=2.1,
        float_ms=2.0,
        int8_ms=1.0,
    ),
    "trials": TrialsResult(
        **COMMON,
        params=TrialsParams(idle_seconds=5),
        coverage=COVERAGE,
        metric="accuracy",
        fp32=91.0,
        rows=(
            Trial(
                **CHANGE,
                plan=Plan(),
                digest=Plan().digest,
                int8_mac_share=100.0,
                model_bytes=1000,
                computed_from=None,
                milliseconds=0.5,
            ),
        ),
        fp32_bytes=4000,
    ),
}
INSTANCES["workflow"] = WorkflowResult(
    **COMMON,
    params=PARAMS["workflow"](target=0.5),
    coverage=COVERAGE,
    metric="accuracy",
    fp32=91.25,
    stages=(
        StageNote(stage="ptq", state="known", sentence="90.50 %", seconds=1.5),
        StageNote(stage="qat", state="refused", sentence="no training samples"),
    ),
    recommendation=Recommendation(
        end="none",
        reason="nothing was within the target",
        best=Candidate(
            way="partial",
            model="sample:resnet20",
            plan=SavedPlan(name="recommended", model="sample:resnet20", sites=("fc",), plan=Plan().skipping("fc")),
            skipped=("fc",),
            fp32=91.25,
            accuracy=90.5,
            relative=-0.82,
            interval=(-1.0, -0.5),
            samples=10_000,
            int8_mac_share=80.0,
        ),
        sure=False,
        speed=Speed(engine="openvino", batch=1, fp32_ms=2.0, int8_ms=1.0, speedup=2.0, interval=(1.9, 2.1)),
        files=("/tmp/resnet20_int8.onnx",),
        notes=("it was not kept",),
    ),
    baseline=INSTANCES["evaluate"],
    ptq=INSTANCES["ptq"],
    sensitivity=INSTANCES["sensitivity"],
    partial=INSTANCES["partial"],
    qat=INSTANCES["qat"],
    benchmark=INSTANCES["benchmark"],
    export=INSTANCES["export"],
    advice=(Advice(rule="outlier", symptom="far", evidence="17 ×", remedy="percentile", sites=("fc",)),),
)


def test_every_analysis_has_params_a_result_and_an_instance_here():
    assert PARAMS.keys() == RESULTS.keys() == INSTANCES.keys()
    assert all(type(INSTANCES[name]) is RESULTS[name] for name in INSTANCES)


@pytest.mark.parametrize("name", INSTANCES)
def test_json_round_trip_keeps_every_digit(name, tmp_path):
    path = tmp_path / "result.json"
    INSTANCES[name].save(path)
    assert RESULTS[name].load(path) == INSTANCES[name]
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize("name", INSTANCES)
def test_the_file_says_which_analysis_and_version_it_is(name, tmp_path):
    INSTANCES[name].save(tmp_path / "result.json")
    content = json.loads((tmp_path / "result.json").read_text())
    assert (content["analysis"], content["version"]) == (name, 1)
    assert content["environment"]["torch"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("extra", 1), ("version", 2), ("analysis", "ptq"), ("seconds", None), ("metric", "f1"), ("fp32", "high")],
)
def test_a_file_with_something_else_in_it_is_refused_naming_the_key(key, value, tmp_path):
    path = tmp_path / "result.json"
    path.write_text(json.dumps(json.loads(INSTANCES["evaluate"].model_dump_json()) | {key: value}))
    with pytest.raises(ValueError, match=rf"result\.json is not a EvaluateResult: {key}: ") as error:
        EvaluateResult.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "\x00\xff", "null"])
def test_a_file_that_is_no_record_is_refused_in_one_sentence(content, tmp_path):
    path = tmp_path / "score.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"score\.json is not a Score: ") as error:
        Score.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", '"nan"', '"inf"'])
def test_numbers_that_are_not_finite_are_refused(text):
    with pytest.raises(ValidationError, match="finite number"):
        Score.model_validate_json(f'{{"accuracy":{text},"standard_error":0,"interval":[0,1],"samples":1}}')


def test_records_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        SCORE.accuracy = 100.0


def test_saving_replaces_an_older_file(tmp_path):
    path = tmp_path / "score.json"
    path.write_text("older")
    SCORE.save(path)
    assert Score.load(path) == SCORE


def test_a_failed_save_leaves_the_older_file(tmp_path, monkeypatch):
    path = tmp_path / "score.json"
    SCORE.save(path)

    def fail(self, **options):
        raise RuntimeError("no memory")

    monkeypatch.setattr(Record, "model_dump_json", fail)
    with pytest.raises(RuntimeError):
        SCORE.model_copy(update={"samples": 1}).save(path)
    assert Score.load(path) == SCORE


@pytest.mark.parametrize(("value", "expected"), [(1.5, 1.5), (math.inf, None), (-math.inf, None), (math.nan, None)])
def test_finite(value, expected):
    assert finite(value) == expected


class TestParams:
    def test_calibrations_are_written_one_way_and_once(self):
        params = PtqParams(calibrations=(" max", "percentile:99.90", "percentile:99.9", "entropy"))
        assert params.calibrations == ("max", "percentile:99.9", "entropy")

    @pytest.mark.parametrize("params", [PtqParams, CalibrateParams])
    def test_an_unknown_calibration_is_refused(self, params):
        with pytest.raises(ValidationError, match="Unknown calibration 'kl'"):
            params(calibrations=("kl",))

    @pytest.mark.parametrize(
        ("field", "value"),
        [("batch_size", 0), ("evaluation_samples", 0), ("bits", 1), ("bits", 9), ("calibrations", ()), ("seed", -1)],
    )
    def test_values_out_of_domain_are_refused(self, field, value):
        with pytest.raises(ValidationError, match=field):
            PtqParams(**{field: value})

    def test_bits_of_weights_and_activations_default_to_bits(self):
        plan = PtqParams(bits=6, weight_bits=4).effective_plan()
        assert (plan.weight_bits, plan.activation_bits) == (4, 6)

    def test_the_plan_has_everything_that_was_asked_for(self):
        plan = PtqParams(
            weight_granularity="per-tensor", weight_scheme="affine", activation_scheme="affine", skip=("fc", "fc")
        ).effective_plan()
        assert plan.weight_granularity == "per-tensor"
        assert plan.weight_scheme == plan.activation_scheme == "affine"
        assert plan.skip == {"fc"}

    @pytest.mark.parametrize("name", PARAMS)
    def test_defaults_are_complete_and_described(self, name):
        params = PARAMS[name]()
        assert isinstance(params, TaskParams)
        assert all(field.description for field in PARAMS[name].model_fields.values())
        assert PARAMS[name].model_validate_json(params.model_dump_json()) == params


class TestPaper:
    @pytest.mark.parametrize(
        ("network", "best", "relative"),
        [
            ("mobilenet_v1", 2, -2.07),
            ("mobilenet_v2", 3, -1.03),
            ("resnet50", 1, -0.14),
            ("resnet152", 1, -0.14),
            ("inception_v3", 1, 0.26),
            ("inception_v4", 3, -0.10),
            ("resnext50_32x4d", 1, -0.19),
            ("resnext101_32x8d", 4, -0.16),
            ("efficientnet_b0", 1, -6.23),
            ("efficientnet_b3", 3, -1.63),
        ],
    )
    def test_the_best_column_is_the_one_printed_in_bold(self, network, best, relative):
        row = paper_row(network)
        assert row.accuracies.index(max(row.accuracies)) == best
        assert row.relative()[best] == pytest.approx(relative, abs=0.005)

    def test_every_row_has_the_six_calibrations(self):
        assert {len(row.accuracies) for row in paper().tables["5"].rows} == {6}

    def test_other_networks_have_no_row(self):
        assert paper_row("resnet18") is None
