"""`qanalysis benchmark` and `fastest`: what the JSON holds, what is refused, and what the search decides."""

import json

import numpy as np
import pytest

import qanalysis
from qanalysis.analysis.fastest import PlanSearch
from qanalysis.analysis.speed.rounds import LoadMeter, Timed, measure, speedup, warning
from qanalysis.cli import main
from qanalysis.schema.analyses import ANALYSES
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.benchmark import BenchmarkResult, FastestResult, Load
from qanalysis.schema.results.speed import SiteSpeed, SpeedModel
from qanalysis.schema.saved_plan import SavedPlan

COUNTS = ["--calibration-samples", "16", "--evaluation-samples", "64", "--batch-size", "32"]
QUICK = [*COUNTS, "--seconds", "0.1", "--rounds", "2", "--threads", "1", "--no-gemm", "--quiet"]


def failed(capsys, *arguments: str) -> str:
    assert main(arguments) == 1
    message = capsys.readouterr().err.strip()
    assert message.count("\n") == 0
    return message


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    sites = [site.name for site in qanalysis.run("describe", model="sample:resnet20").coverage.sites]
    partial = SavedPlan(
        name="partial", model="sample:resnet20", sites=tuple(sites), plan=Plan(skip=frozenset({"conv1", "fc"}))
    )
    partial.save(folder / "partial.json")
    given = ["--engines", "openvino,tensorrt", "--precisions", "fp32,int8", "--batches", "2"]
    out = folder / "out.json"
    assert main(["benchmark", *QUICK, *given, "--plans", str(folder / "partial.json"), "--json", str(out)]) == 0
    return json.loads(out.read_text())


def test_the_json_has_what_was_promised(result):
    assert {"environment", "rows", "agreement", "layers"} <= result.keys()
    row = result["rows"][0]
    names = {"engine", "precision", "batch", "latency_ms", "throughput", "speedup", "int8_sites", "sites"}
    assert names <= row.keys()
    assert {"min", "median", "p95"} <= row["latency_ms"].keys()
    assert BenchmarkResult.model_validate(result)


def test_rows_are_every_precision_and_plan(result):
    rows = {(row["precision"], row["plan"]): row for row in result["rows"]}
    assert set(rows) == {("fp32", ""), ("int8", "plan"), ("int8", "partial")}
    assert rows["fp32", ""]["speedup"] == 1.0
    for row in rows.values():
        times = row["latency_ms"]
        assert 0 < times["min"] <= times["median"] <= times["p95"]
        assert row["throughput"] == pytest.approx(2e3 / times["median"])
        assert row["speedup_interval"][0] <= row["speedup"] <= row["speedup_interval"][1]
    assert rows["int8", "plan"]["file_mb"] < 0.3 * rows["fp32", ""]["file_mb"]


def test_the_engine_ran_in_int8_what_the_plan_says(result):
    rows = {row["plan"]: row for row in result["rows"]}
    assert (rows["plan"]["int8_sites"], rows["plan"]["planned_sites"]) == (22, 22)
    assert (rows["partial"]["int8_sites"], rows["partial"]["planned_sites"]) == (20, 20)
    assert rows[""]["int8_sites"] == 0


def test_the_engine_agrees_with_the_simulation(result):
    for row in result["agreement"]:
        assert row["agreement"] >= 98
        assert abs(row["accuracy"] - row["simulated"]) <= 2


def test_layers_have_times_kernels_and_precisions(result):
    layers = result["layers"]
    assert [row["site"] for row in layers["rows"]] == [site["name"] for site in result["coverage"]["sites"]]
    for row in layers["rows"]:
        assert row["ran"] == {"fp32": "fp32", "int8": "int8"}
        assert all(row["kernel"].values())
        assert row["ms"]["fp32"] > 0
        assert row["intensity"]["int8"] == pytest.approx(4 * row["intensity"]["fp32"])
    for name, total in layers["total_ms"].items():
        parts = sum(row["ms"][name] + row["conversion_ms"][name] for row in layers["rows"])
        assert parts + layers["other_ms"][name] == pytest.approx(total)


def test_the_speed_model_has_all_sites_and_was_checked(result):
    speed = SpeedModel.model_validate(result["speed"])
    assert len(speed.sites) == 22
    assert [check.fitted for check in speed.checks] == [True] * 3 + [False] * 3
    assert speed.predict(()) == speed.int8_ms
    assert [edge.sources for edge in speed.sites[1].inputs] == [("conv1",)]


def test_an_engine_that_is_not_here_is_noted_with_the_reason(result):
    assert any("tensorrt was not measured" in warning for warning in result["warnings"])
    assert "tensorrt" in result["environment"]["missing"]


def test_points_are_the_plans_with_accuracy_and_time(result):
    assert {point["name"] for point in result["points"]} == {"fp32", "plan", "partial"}
    assert any(point["front"] for point in result["points"])


def test_nothing_to_measure_is_an_error(capsys):
    message = failed(capsys, "benchmark", *QUICK, "--engines", "tensorrt")
    assert message.startswith("qanalysis: There is nothing to measure: tensorrt was not measured: ")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--engines", "abacus", "Unknown name 'abacus'"),
        ("--precisions", "int4", "Unknown name 'int4'"),
        ("--batches", "0", "--batches"),
        ("--bits", "4", "Only 8-bit plans"),
    ],
)
def test_bad_options_are_named(capsys, option, value, message):
    assert message in failed(capsys, "benchmark", *QUICK, option, value)


class Clock:
    """Stands for an engine's process: its times follow a script."""

    def __init__(self, base: float) -> None:
        self.base, self.turns = base, 0

    def latency(self, seconds: float) -> list[float]:
        self.turns += 1
        return [self.base * (1 + 0.5 * (self.turns == 4))] * 3


def test_the_speedup_is_paired_by_round_and_robust_against_a_slow_one():
    slow, fast = Timed(Clock(4.0)), Timed(Clock(2.0))
    measure([slow, fast], 1.0, 10)
    assert len(slow.rounds) == 10
    fast.rounds[2] = [20.0]
    ratio, (low, high) = speedup(slow, fast)
    assert ratio == 2.0
    assert low <= 2.0 <= high
    assert speedup(slow, fast)[1] == (low, high)


def test_a_busy_machine_is_told():
    assert warning(Load(average=0.1, others=0.01)) is None
    assert "20 % of this machine's cores" in (warning(Load(average=3, others=0.2)) or "")


def test_own_work_is_no_load():
    meter = LoadMeter()
    end = np.linalg.norm(np.random.default_rng(0).standard_normal((600, 600)) @ np.ones((600, 600)))
    assert end > 0
    load = meter.load()
    assert 0 <= load.others <= 1


class FakeSearch(PlanSearch):
    """Losses of single sites add up, so that the right answer is known."""

    losses = {"a": 3.0, "b": 2.0, "c": 0.2, "d": 0.1}  # noqa: RUF012

    @property
    def fp32(self) -> float:
        return 100.0

    def _try(self, skipped, why):
        from qanalysis.schema.results.benchmark import SpeedStep

        loss = sum(value for site, value in self.losses.items() if site not in skipped)
        step = SpeedStep(
            skipped=tuple(skipped),
            accuracy=100 - loss,
            relative=-loss,
            predicted_ms=self.model.predict(skipped),
            accepted=loss <= self.params.target,
            why=why,
        )
        self.steps.append(step)
        return step


def search(target: float, gains: dict[str, float], tries: int = 24) -> PlanSearch:
    sites = tuple(SiteSpeed(site=site, int8_ms=1.0, float_ms=1.0 + gain) for site, gain in gains.items())
    total = sum(gains.values())
    model = SpeedModel(engine="e", batch=1, threads=1, sites=sites, int8_ms=4.0, float_ms=4.0 + total)
    params = ANALYSES["fastest"].params(target=target, most_tried=tries)
    return FakeSearch(params, None, model, None, None, lambda kind, **body: None)


GAINS = {"a": 1.0, "b": 1.0, "c": 2.0, "d": 2.0}


@pytest.mark.parametrize(("target", "best"), [(6.0, set()), (2.5, {"a"}), (0.35, {"a", "b"}), (0.0, set("abcd"))])
def test_the_search_finds_the_fastest_plan_within_the_target(target, best):
    one = search(target, GAINS)
    one.run(("a", "b", "c", "d"))
    assert one.best is not None
    assert set(one.best.skipped) == best


def test_sites_that_int8_slows_down_leave_it_first():
    one = search(6.0, {**GAINS, "d": -0.5})
    one.run(("a", "b", "c"))
    assert one.best is not None
    assert one.best.skipped == ("d",)


def test_a_site_that_left_for_nothing_comes_back():
    """The order is wrong on purpose: c costs little accuracy and goes first."""
    one = search(2.5, GAINS)
    one.run(("c", "a", "b", "d"))
    assert one.best is not None
    assert set(one.best.skipped) == {"a"}


def test_the_search_stops_at_its_limit():
    one = search(0.05, GAINS, tries=3)
    one.run(("a", "b", "c", "d"))
    assert len(one.steps) <= 4


def test_fastest_gives_a_plan_that_is_within_the_target(tmp_path):
    out = tmp_path / "out.json"
    counts = ["--calibration-samples", "16", "--evaluation-samples", "64", "--batch-size", "32"]
    given = ["--seconds", "0.1", "--threads", "1", "--target", "3", "--most-tried", "6", "--quiet", "--json", str(out)]
    assert main(["fastest", *counts, *given]) == 0
    result = FastestResult.load(out)
    assert result.steps[0].skipped == ()
    assert result.plan is not None
    assert result.accuracy is not None
    assert result.accuracy >= 0.97 * result.fp32
    assert result.measured_ms is not None
    assert result.measured_ms > 0
