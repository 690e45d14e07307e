"""Plans tried one after the other equal plans measured by themselves."""

import pytest

import qanalysis
from qanalysis.analysis.measure.baseline import measured_baseline
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.progress import silent
from qanalysis.analysis.trials import Trials
from qanalysis.schema.params.accuracy import TrialsParams
from qanalysis.schema.plan import Override, Plan
from qanalysis.schema.results.sensitivity import Change
from qanalysis.schema.saved_plan import SavedPlan

SMALL = {"model": "sample:resnet20@none", "calibration_samples": 16, "evaluation_samples": 48, "batch_size": 16}
BASE = Plan(weight_bits=4, activation_bits=4)


@pytest.fixture(scope="module")
def trials():
    return Trials(measured_baseline(TrialsParams(**SMALL, bits=4), silent, Checkpoint(None)))


PLANS = {
    "as it is": (BASE, None),
    "late site": (BASE.skipping("fc"), "fc"),
    "two sites": (BASE.skipping("layer3.0.conv1", "layer2.0.conv1"), "layer2.0.conv1"),
    "first site": (BASE.skipping("conv1"), "conv1"),
    "bits of one site": (BASE.model_copy(update={"overrides": {"fc": Override(weight_bits=8)}}), "fc"),
    "calibration of one site": (
        BASE.model_copy(update={"overrides": {"layer3.2.conv1": Override(calibration="entropy", activation_bits=6)}}),
        "layer3.2.conv1",
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_trial_is_the_plan_measured_by_itself(name, trials):
    plan, first = PLANS[name]
    trial = trials.measure(plan)
    sites = tuple(site.name for site in trials._baseline.coverage.sites)
    saved = SavedPlan(name="x", model="m", sites=sites, plan=plan)
    alone = qanalysis.run("plan", **SMALL, plan=saved)
    assert {name: getattr(trial, name) for name in Change.model_fields} == dict(alone.change)
    assert (trial.int8_mac_share, trial.model_bytes) == (alone.int8_mac_share, alone.model_bytes)
    assert trial.computed_from == first


def test_an_unknown_site_is_named(trials):
    with pytest.raises(ValueError, match="no site named 'conv9'"):
        trials.measure(BASE.skipping("conv9"))


class Desk:
    """Asks for plans one after the other: for the next when the one before is answered."""

    def __init__(self, *plans: Plan) -> None:
        self.plans = list(plans)
        self.rows: list[dict] = []

    def __call__(self, kind: str, **body: object) -> None:
        if kind == "row":
            self.rows.append(body)

    def questions(self) -> list[Plan]:
        return self.plans[len(self.rows) :][:1]


def test_the_analysis_answers_what_is_asked_while_it_runs_and_ends_when_nothing_is():
    desk = Desk(BASE.skipping("fc"), BASE.skipping("nothing"), BASE.skipping("conv1"))
    params = TrialsParams(**SMALL, bits=4, idle_seconds=1)
    result = qanalysis.schema.analyses.ANALYSES["trials"].run(params, desk)
    assert [row.plan.skip for row in result.rows] == [{"fc"}, {"conv1"}]
    assert [row["digest"] for row in desk.rows] == [plan.digest for plan in desk.plans]
    assert "no site named 'nothing'" in desk.rows[1]["refused"]
