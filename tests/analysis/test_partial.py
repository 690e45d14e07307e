"""Partial quantization: the given order, greedy search, and one plan measured."""

import json

import pytest

import qanalysis
from qanalysis.schema.plan import Override, Plan
from qanalysis.schema.saved_plan import SavedPlan, save

SMALL = {"model": "sample:resnet20@none", "calibration_samples": 16, "evaluation_samples": 48, "batch_size": 16}


def test_a_given_order_is_kept():
    order = ("fc", "conv1", "layer2.0.conv1")
    result = qanalysis.run("partial", **SMALL, bits=4, order=order, target=0.0)
    assert result.order == order
    assert [step.skipped for step in result.partial.steps] == [order[:count] for count in range(4)]
    chosen = result.partial.chosen
    assert result.plan.skip == frozenset(order if chosen is None else order[:chosen])


def test_without_an_order_sensitivity_is_measured_first():
    result = qanalysis.run("partial", **SMALL, bits=4, most_skipped=2)
    ranked = qanalysis.run("sensitivity", **SMALL, bits=4, most_skipped=2, proxies=False)
    assert result.order == tuple(row.site for row in ranked.rows)
    assert result.partial == ranked.partial


def test_greedy_takes_the_best_of_its_candidates():
    order = ("fc", "conv1", "layer2.0.conv1")
    trained = {**SMALL, "model": "sample:resnet20", "bits": 3}  # at 3 bits the loss is far beyond the target
    greedy = qanalysis.run("partial", **trained, order=order, search="greedy", width=3, most_skipped=1)
    alone = {site: qanalysis.run("plan", **trained, skip=(site,)).change.divergence for site in order}
    best = min(alone, key=alone.__getitem__)
    assert greedy.partial.steps[1].skipped == (best,)
    assert greedy.partial.steps[1].divergence == alone[best]
    assert greedy.partial.evaluations == 4


def test_greedy_stops_at_the_target():
    result = qanalysis.run("partial", **SMALL, bits=8, search="greedy", order=("fc",), target=100.0)
    assert result.partial.chosen == 0
    assert result.partial.evaluations == 1


def test_an_unknown_site_in_the_order_is_named():
    with pytest.raises(ValueError, match=r"'layer1\.0\.conv9'.*Did you mean 'layer1\.0\.conv"):
        qanalysis.run("partial", **SMALL, order=("layer1.0.conv9",))


def test_a_saved_plan_is_used_with_its_calibration_and_overrides():
    sites = tuple(site.name for site in qanalysis.run("describe", model=SMALL["model"]).coverage.sites)
    overrides = {"conv1": Override(weight_bits=8, activation_bits=8, calibration="max")}
    plan = Plan(weight_bits=4, activation_bits=4, skip=frozenset({"fc"}), overrides=overrides)
    save(SavedPlan(name="mine", model="sample:resnet20@none", sites=sites, calibration="entropy", plan=plan))
    result = qanalysis.run("plan", **SMALL, plan="mine")
    assert result.float_sites == {"fc": "skipped by the plan"}
    assert result.params.effective_calibration == "entropy"
    plain = qanalysis.run("plan", **SMALL, bits=4, skip=("fc",), calibration="entropy")
    assert result.change.divergence != plain.change.divergence
    assert result.model_bytes == plain.model_bytes + 16 * 3 * 9 // 2  # conv1 in 8 bits instead of 4


def test_a_plan_of_another_model_is_refused_with_the_difference(tmp_path):
    plan = SavedPlan(name="other", model="sample:vit", sites=("conv1", "head"), plan=Plan())
    plan.save(tmp_path / "other.json")
    with pytest.raises(ValueError, match=r"made for sample:vit.*'head'.*21 of this model's sites are not in it"):
        qanalysis.run("plan", **SMALL, plan=str(tmp_path / "other.json"))


def test_sizes_count_bits_and_scales():
    result = qanalysis.run("plan", **SMALL, bits=4)
    parameters = result.model.parameters
    weights = sum(1 * _size(site.weight_shape) for site in result.coverage.sites)
    channels = sum(site.weight_shape[0] for site in result.coverage.sites)
    assert result.fp32_bytes == 4 * parameters
    assert result.model_bytes == 4 * (parameters - weights) + weights // 2 + 4 * channels


def test_results_survive_json(tmp_path):
    result = qanalysis.run("partial", **SMALL, bits=4, order=("fc",))
    path = tmp_path / "partial.json"
    result.save(path)
    assert type(result).load(path) == result
    assert set(json.loads(path.read_text())["partial"]) >= {"steps", "chosen"}


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for extent in shape:
        size *= extent
    return size
