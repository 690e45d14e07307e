"""Plans tried one after the other equal plans measured by themselves."""

import threading
import time

import pytest

import qanalysis
from qanalysis.analysis.measure import baseline
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.progress import silent
from qanalysis.analysis.trials import Trials
from qanalysis.schema.params.accuracy import TrialsParams
from qanalysis.schema.plan import Override, Plan
from qanalysis.schema.requests import pending, request
from qanalysis.schema.results.sensitivity import Change
from qanalysis.schema.saved_plan import SavedPlan

SMALL = {"model": "sample:resnet20@none", "calibration_samples": 16, "evaluation_samples": 48, "batch_size": 16}
BASE = Plan(weight_bits=4, activation_bits=4)


@pytest.fixture(scope="module")
def trials():
    return Trials(baseline.measure(TrialsParams(**SMALL, bits=4), silent, Checkpoint(None)))


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
    sites = tuple(site.name for site in trials._given.coverage.sites)
    saved = SavedPlan(name="x", model="m", sites=sites, plan=plan)
    alone = qanalysis.run("plan", **SMALL, plan=saved)
    assert {field: getattr(trial, field) for field in Change.model_fields} == alone.change.model_dump()
    assert (trial.int8_mac_share, trial.model_bytes) == (alone.int8_mac_share, alone.model_bytes)
    assert trial.computed_from == first


def test_an_unknown_site_is_named(trials):
    with pytest.raises(ValueError, match="no site named 'conv9'"):
        trials.measure(BASE.skipping("conv9"))


def test_requests_are_read_in_order_and_once(tmp_path):
    first, second = BASE.skipping("fc"), BASE.skipping("conv1")
    request(tmp_path, first)
    time.sleep(0.01)
    request(tmp_path, second)
    request(tmp_path, first)
    assert pending(tmp_path, ()) == [first, second]
    assert pending(tmp_path, {first.digest}) == [second]
    (tmp_path / "requests" / "torn.json").write_text('{"weight')
    assert pending(tmp_path, {first.digest}) == [second]


def test_the_analysis_answers_what_is_asked_while_it_runs_and_ends_when_nothing_is(tmp_path):
    rows = []

    def ask() -> None:
        request(tmp_path, BASE.skipping("fc"))
        request(tmp_path, BASE.skipping("nothing"))
        deadline = time.monotonic() + 60
        while not rows and time.monotonic() < deadline:
            time.sleep(0.02)
        request(tmp_path, BASE.skipping("conv1"))

    asker = threading.Thread(target=ask)
    asker.start()
    result = qanalysis.schema.analyses.ANALYSES["trials"].run(
        TrialsParams(**SMALL, bits=4, idle_seconds=3),
        lambda kind, **body: rows.append(body) if kind == "row" else None,
        tmp_path,
    )
    asker.join()
    assert [row.plan.skip for row in result.rows] == [{"fc"}, {"conv1"}]
    assert [row["digest"] for row in rows] == [row.digest for row in result.rows]
