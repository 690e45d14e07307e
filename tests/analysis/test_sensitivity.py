"""Sensitivity against the naive loop, and partial quantization in its order."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

import qanalysis
from qanalysis import task as tasks
from qanalysis.analysis.score import Answers
from qanalysis.analysis.sensitivity import divergence
from qanalysis.nn.observe import observe
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.numerics.calibrate import Max
from qanalysis.schema.params import SensitivityParams

SMALL = {"model": "sample:resnet20@none", "calibration_samples": 16, "evaluation_samples": 48, "batch_size": 16}


@pytest.fixture(scope="module")
def result():
    return qanalysis.run("sensitivity", **SMALL, bits=4, target=0.0, most_skipped=3)


def test_divergence_is_scipy_s():
    rng = np.random.default_rng(0)
    p, q = rng.normal(size=(2, 20, 5)).astype(np.float32)
    expected = np.mean([entropy(a, b) for a, b in zip(softmax(p, 1), softmax(q, 1), strict=True)])
    assert divergence(Answers(q, None), Answers(p, None)) == pytest.approx(expected, rel=1e-5)


def test_every_site_has_a_row_in_descending_order(result):
    assert len(result.rows) == 22
    assert [row.kl for row in result.rows] == sorted((row.kl for row in result.rows), reverse=True)


def test_rows_are_those_of_the_naive_loop(result):
    task = tasks.load(SensitivityParams(**SMALL))
    module, plan = task.model.module, result.params.plan()
    ranges = observe(module, task.inputs(task.data.calibration, 16)).ranges(Max(), plan)
    for row in result.rows[:3]:
        one = QuantizedModel(module, plan.quantizing_only(row.site), ranges)
        with torch.no_grad():
            given = torch.cat([one(x) for x in task.inputs(task.data.evaluation, 48)]).numpy()
            fp32 = torch.cat([module(x) for x in task.inputs(task.data.evaluation, 48)]).numpy()
        assert row.kl == divergence(Answers(given, None), Answers(fp32, None))


def test_partial_quantization_skips_in_that_order(result):
    order = tuple(row.site for row in result.rows)
    for count, step in enumerate(result.partial.steps):
        assert step.skipped == order[:count]
    shares = [step.int8_mac_share for step in result.partial.steps]
    assert shares[0] == 100
    assert shares == sorted(shares, reverse=True)
    assert result.partial.steps[0].accuracy == result.quantized


def test_the_chosen_step_is_the_first_within_the_target():
    result = qanalysis.run("sensitivity", **SMALL, bits=8, target=100.0)
    assert result.partial.chosen == 0
    assert len(result.partial.steps) == 1


def test_without_measures_the_gain_of_leaving_a_site_out():
    result = qanalysis.run("sensitivity", **SMALL, bits=4, mode="without")
    assert result.partial is None
    assert [row.kl for row in result.rows] == sorted(row.kl for row in result.rows)


def test_skipped_sites_are_not_measured():
    result = qanalysis.run("sensitivity", **SMALL, skip=("fc",), target=100.0)
    assert "fc" not in {row.site for row in result.rows}
    assert len(result.rows) == 21
