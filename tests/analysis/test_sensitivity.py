"""Sensitivity against the naive loop, and partial quantization in its order."""

import pytest
import torch

import qanalysis
from qanalysis import setup as setups
from qanalysis.analysis.measure.comparison import answered, change, compare
from qanalysis.analysis.sensitivity import tied
from qanalysis.nn.observe import observe
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.numerics.calibrate import Max
from qanalysis.schema.params.accuracy import SensitivityParams

SMALL = {"model": "sample:resnet20@none", "calibration_samples": 16, "evaluation_samples": 48, "batch_size": 16}


@pytest.fixture(scope="module")
def result():
    return qanalysis.run("sensitivity", **SMALL, bits=4, target=0.0, most_skipped=3)


def test_every_site_has_a_row_in_descending_order(result):
    assert len(result.rows) == 22
    assert [row.divergence for row in result.rows] == sorted((row.divergence for row in result.rows), reverse=True)


def test_rows_are_those_of_the_naive_loop(result):
    setup = setups.load(SensitivityParams(**SMALL))
    module, plan, task = setup.model.module, result.params.effective_plan(), setup.task
    ranges = observe(module, setup.inputs(setup.data.calibration, 16)).ranges(Max(), plan)
    for row in result.rows[:3]:
        one = QuantizedModel(module, plan.quantizing_only(row.site), ranges)
        with torch.no_grad():
            given = torch.cat([one(x) for x in setup.inputs(setup.data.evaluation, 48)])
            fp32 = torch.cat([module(x) for x in setup.inputs(setup.data.evaluation, 48)])
        alone = change(task, compare(task, given, answered(task, fp32, None)))
        assert row.divergence == alone["divergence"]
        assert row.sqnr == alone["sqnr"]


def test_partial_quantization_skips_in_that_order(result):
    order = tuple(row.site for row in result.rows)
    for count, step in enumerate(result.partial.steps):
        assert step.skipped == order[:count]
    shares = [step.int8_mac_share for step in result.partial.steps]
    assert shares[0] == 100
    assert shares == sorted(shares, reverse=True)
    assert result.partial.steps[0].accuracy == result.quantized


def test_the_chosen_step_is_the_first_within_the_target():
    result = qanalysis.run("sensitivity", **SMALL, bits=8, target=100.0, most_skipped=1, proxies=False)
    assert result.partial.chosen == 0
    assert result.proxies == ()


def test_a_step_is_measured_and_equals_the_plan_by_itself(result):
    skipped = result.partial.steps[3].skipped
    alone = qanalysis.run("plan", **SMALL, bits=4, skip=skipped)
    assert alone.change.model_dump() == result.partial.steps[3].model_dump(exclude={"skipped", "int8_mac_share"})
    assert alone.int8_mac_share == result.partial.steps[3].int8_mac_share


def test_ranking_by_accuracy_puts_the_greatest_loss_first():
    by_accuracy = qanalysis.run("sensitivity", **SMALL, bits=3, rank="accuracy", most_skipped=0, proxies=False)
    assert [row.relative for row in by_accuracy.rows] == sorted(row.relative for row in by_accuracy.rows)


def test_intervals_that_overlap_with_the_first_of_a_group_are_ties():
    assert tied([(8, 9), (5, 6), (4, 5.5), (3, 4.5), (1, 2)]) == [0, 1, 1, 2, 3]
    assert tied([]) == []


def test_a_harmless_site_is_not_measured_to_the_end():
    many = {**SMALL, "evaluation_samples": 320, "batch_size": 64}
    result = qanalysis.run("sensitivity", **many, bits=8, harmless=5.0, most_skipped=0, proxies=False)
    assert len(result.stopped) > 10
    assert "standard errors" in next(iter(result.stopped.values()))
    samples = {row.site: row.samples for row in result.rows}
    assert all(samples[site] == 256 for site in result.stopped)
    assert all(count == 320 for site, count in samples.items() if site not in result.stopped)


def test_a_plan_without_a_quantized_site_is_refused():
    sites = tuple(site.name for site in qanalysis.run("describe", model=SMALL["model"]).coverage.sites)
    with pytest.raises(ValueError, match="quantizes no site"):
        qanalysis.run("sensitivity", **SMALL, skip=sites)


class KilledError(Exception):
    """Stands for a kill in the middle of a run."""


def test_a_run_that_was_killed_goes_on_and_ends_the_same(result, tmp_path):
    from qanalysis.schema.analyses import ANALYSES

    params = SensitivityParams(**SMALL, bits=4, target=0.0, most_skipped=3)
    tables = []

    def dies(kind: str, **body: object) -> None:
        if kind == "table":
            tables.append(body["samples"])
            if len(tables) == 2:
                raise KilledError

    with pytest.raises(KilledError):
        ANALYSES["sensitivity"].run(params, dies, tmp_path)
    stages = []
    resumed = ANALYSES["sensitivity"].run(params, lambda kind, **body: stages.append((kind, body)), tmp_path)
    assert tables == [16, 32]
    assert resumed.rows == result.rows
    assert resumed.partial == result.partial
    assert len(list(tmp_path.glob("measured/sites-*"))) == 3


def test_what_is_known_so_far_is_told_after_every_batch():
    told = []
    from qanalysis.schema.analyses import ANALYSES

    params = SensitivityParams(**SMALL, bits=4, most_skipped=1, proxies=False)
    ANALYSES["sensitivity"].run(params, lambda kind, **body: told.append(body) if kind == "table" else None)
    assert [body["samples"] for body in told] == [16, 32, 48, 48, 48, 48]
    assert all(len(body["rows"]) == 22 for body in told)
    assert [len(body["partial"]["steps"]) for body in told[3:]] == [2, 2, 2]


def test_without_measures_the_gain_of_leaving_a_site_out():
    result = qanalysis.run("sensitivity", **SMALL, bits=4, mode="without")
    assert result.partial is None
    assert result.proxies == ()
    assert [row.divergence for row in result.rows] == sorted(row.divergence for row in result.rows)


def test_skipped_sites_are_not_measured():
    result = qanalysis.run("sensitivity", **SMALL, skip=("fc",), target=100.0)
    assert "fc" not in {row.site for row in result.rows}
    assert len(result.rows) == 21


def test_affine_activations_are_measured_as_ptq_measures_them():
    shared = {"model": "sample:resnet20", "bits": 4, "activation_scheme": "affine", "calibration_samples": 16}
    shared["evaluation_samples"] = 48
    plan = qanalysis.run("plan", **shared, calibration="percentile:99.9")
    ptq = qanalysis.run("ptq", **shared, calibrations=("percentile:99.9",))
    assert plan.change.accuracy == ptq.rows[0].accuracy
    symmetric = qanalysis.run("plan", **{**shared, "activation_scheme": "scale"}, calibration="percentile:99.9")
    assert plan.change.divergence < symmetric.change.divergence
