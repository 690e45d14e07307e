"""Parameters and results: frozen, strict, and the same after a trip through JSON."""

import json
import math

import pytest
from pydantic import ValidationError

from qanalysis.numerics.spec import Range
from qanalysis.schema.analyses import ANALYSES
from qanalysis.schema.base import Record, finite
from qanalysis.schema.paper import paper, paper_row
from qanalysis.schema.params.accuracy import CalibrateParams, PtqParams
from qanalysis.schema.params.task import TaskParams
from qanalysis.schema.results.accuracy import EvaluateResult
from qanalysis.schema.results.benchmark import BenchmarkRow, fp32_row, int8_row
from qanalysis.schema.results.common import Score
from tests.schema.instances import INSTANCES, SCORE


def test_times_of_earlier_sensitivity_results_are_read():
    """Once `seconds` was the loop over sites, and everything was `total_seconds`."""
    values = json.loads(INSTANCES["sensitivity"].model_dump_json())
    del values["sites_seconds"]
    read = type(INSTANCES["sensitivity"]).model_validate_json(
        json.dumps(values | {"seconds": 7.0, "total_seconds": 9.0})
    )
    assert (read.seconds, read.sites_seconds) == (9.0, 7.0)


def rows(*given: tuple[str, int, int, float]) -> tuple[BenchmarkRow, ...]:
    """Rows of one plan: engine, batch size, sites in int8, median of a time."""
    row = INSTANCES["benchmark"].rows[0]
    latency = row.latency_ms
    return tuple(
        row.model_copy(
            update={
                "engine": engine,
                "batch": batch,
                "int8_sites": sites,
                "latency_ms": latency.model_copy(update={"median": ms}),
            }
        )
        for engine, batch, sites, ms in given
    )


@pytest.mark.parametrize(
    ("given", "engine"),
    [
        ([("a", 1, 5, 2.0), ("b", 1, 5, 1.0), ("c", 1, 3, 0.5)], "b"),  # the fastest that runs most of it
        ([("a", 1, 5, 2.0), ("b", 8, 5, 1.0)], "a"),  # at the first batch size
    ],
)
def test_one_row_stands_for_the_plan(given, engine):
    assert int8_row(rows(*given)).engine == engine


def test_rows_of_other_plans_do_not_stand_for_it():
    others = [row.model_copy(update={"plan": name}) for row in rows(("a", 1, 5, 2.0)) for name in ("", "mine")]
    assert int8_row(others) is None


def test_the_floating_point_row_is_of_the_same_engine_and_batch():
    (row,) = rows(("a", 1, 5, 2.0))
    floats = [
        one.model_copy(update={"precision": "fp32", "plan": ""})
        for one in rows(("b", 1, 0, 4.0), ("a", 8, 0, 9.0), ("a", 1, 0, 5.0))
    ]
    assert fp32_row([row, *floats], row) is floats[2]
    assert fp32_row([row, *floats[:2]], row) is None


def test_a_range_has_two_ends_and_is_symmetric_where_an_earlier_result_has_but_its_magnitude():
    result = INSTANCES["calibrate"].model_copy(
        update={
            "ranges": {"max": {"a": 4.0, "zero": None}, "trained": {"a": 3.0}},
            "bounds": {"trained": {"a": (-0.5, 3.0)}},
        }
    )
    assert result.range_of("trained", "a") == Range(-0.5, 3.0)
    assert result.range_of("max", "a") == Range(-4.0, 4.0)
    assert result.range_of("max", "zero") is None


def test_every_analysis_has_params_a_result_and_an_instance_here():
    assert ANALYSES.keys() == INSTANCES.keys()
    assert all(type(INSTANCES[name]) is ANALYSES[name].result for name in INSTANCES)


@pytest.mark.parametrize("name", INSTANCES)
def test_json_round_trip_keeps_every_digit(name, tmp_path):
    path = tmp_path / "result.json"
    INSTANCES[name].save(path)
    assert ANALYSES[name].result.load(path) == INSTANCES[name]
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize("name", INSTANCES)
def test_the_file_says_which_analysis_and_version_it_is(name, tmp_path):
    INSTANCES[name].save(tmp_path / "result.json")
    content = json.loads((tmp_path / "result.json").read_text())
    assert (content["analysis"], content["version"]) == (name, 2)
    assert content["environment"]["torch"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("extra", 1), ("version", 3), ("analysis", "ptq"), ("seconds", None), ("metric", 1), ("fp32", "high")],
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

    @pytest.mark.parametrize("name", ANALYSES)
    def test_defaults_are_complete_and_described(self, name):
        params = ANALYSES[name].params()
        assert isinstance(params, TaskParams)
        assert all(field.description for field in ANALYSES[name].params.model_fields.values())
        assert ANALYSES[name].params.model_validate_json(params.model_dump_json()) == params


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
