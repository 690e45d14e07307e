"""Runs side by side: the settings that differ, headlines, shared ranges, on results made by hand."""

import pytest

from qanalysis.insight.comparison import Run, differences, shared_ranges
from qanalysis.insight.headline import answers_params, headline, ranges
from qanalysis.schema.params.accuracy import PtqParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.saved_plan import SavedPlan
from tests.figures import factories
from tests.schema.instances import INSTANCES


def ptq(**params):
    return factories.ptq().model_copy(update={"params": PtqParams(**params)})


def told(*results) -> dict[str, tuple[str, ...]]:
    runs = [Run(str(number), result) for number, result in enumerate(results)]
    return {one.setting: one.values for one in differences(runs)}


def test_only_what_differs_is_named():
    assert told(ptq(seed=1), ptq(seed=2)) == {"seed": ("1", "2")}
    assert told(ptq(), ptq()) == {}


def test_a_plan_counts_by_what_it_says_not_by_where_it_was_said():
    plan = SavedPlan(name="p", model="sample:n", sites=("stem", "fc"), plan=Plan(weight_bits=4, activation_bits=4))
    assert told(ptq(bits=4), ptq(plan=plan)) == {}
    assert told(ptq(bits=4, skip=("fc",)), ptq(plan=plan)) == {"skip": ("fc", "")}


def test_a_setting_that_one_analysis_does_not_have_is_empty():
    different = told(ptq(), factories.sensitivity(factories.sensitivity_rows(3)))
    assert different["analysis"] == ("ptq", "sensitivity")
    assert different["mode"] == ("", "without")


def test_versions_and_machine_are_compared():
    other = ptq()
    environment = other.environment.model_copy(update={"torch": "1.0"})
    assert told(ptq(), other.model_copy(update={"environment": environment})) == {"torch (environment)": ("2", "1.0")}


def test_ranges_are_of_activations_that_all_have():
    first = ptq().model_copy(update={"ranges": {"max": {"stem": 1.0, "fc": None}}, "best": "max"})
    second = ptq().model_copy(update={"ranges": {"max": {"fc": 2.0, "other": 3.0}}, "best": "max"})
    assert shared_ranges([Run("a", first), Run("b", second)]) == {"fc": (None, 2.0)}
    assert shared_ranges([Run("a", first)]) == {}


def test_the_headline_of_ptq_is_its_best_row():
    head = headline(factories.ptq(fp32=76.0, accuracies=(75.0, 75.9)))
    assert (head.accuracy, head.calibration, head.change_interval) == (75.9, "entropy", pytest.approx((-0.3, 0.2)))
    assert head.relative == pytest.approx(100 * -0.1 / 76)
    assert head.line == "75.90 % (-0.13 %), best of 2"


def test_the_headline_of_a_sensitivity_run_is_its_partial_plan():
    steps = factories.partial(73.0, 75.0, 75.5, chosen=2)
    head = headline(factories.sensitivity(factories.sensitivity_rows(5), steps))
    assert (head.accuracy, head.skipped) == (75.5, 2)


def test_answers_are_asked_under_the_very_settings_of_a_run():
    params = answers_params(ptq(bits=4, seed=3, skip=("fc",), evaluation_samples=77, fold_bn=True))
    assert (params.bits, params.seed, params.skip, params.evaluation_samples, params.fold_bn) == (
        4,
        3,
        ("fc",),
        77,
        True,
    )
    assert params.calibrations == (factories.ptq().best,)


def test_answers_of_a_fine_tune_are_those_of_its_checkpoint():
    result = INSTANCES["qat"]
    assert answers_params(result) is None
    params = answers_params(result, "/tmp/net.safetensors")
    assert params.model == "checkpoint:/tmp/net.safetensors"
    assert params.calibrations == ("trained",)
    assert params.plan.plan == result.plan
    assert ranges(result) == result.ranges


LINES = {
    "evaluate": "fp32 91.25 %",
    "answers": "50.00 % (-50.00 %), 1 of 2 answers changed",
    "benchmark": "90.40 % (-0.66 %), 1.1 ms, 2.50 × fp32, openvino int8, batch 1",
}


@pytest.mark.parametrize("name", [name for name in INSTANCES if name not in ("describe", "trials", "workflow")])
def test_every_analysis_says_in_one_line_what_it_found(name):
    head = headline(INSTANCES[name])
    assert head is not None
    assert "\n" not in head.line
    assert head.line.startswith(LINES.get(name, ""))
    assert head.line


def test_runs_without_a_headline_can_be_compared():
    assert Run("x", INSTANCES["describe"]).headline.line == "describe"
