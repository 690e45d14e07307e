"""Advice: every rule speaks where the numbers show its symptom, and is silent where they do not."""

import numpy as np
import pytest

from qanalysis.insight.advice import results
from qanalysis.insight.advice.ranges import movement, of_calibration
from qanalysis.numerics.histogram import Histogram
from qanalysis.schema.observations import Growth, Observations
from qanalysis.schema.params.accuracy import PtqParams, SensitivityParams
from qanalysis.schema.site import Coverage, Site, TensorId
from tests.schema.instances import INSTANCES

PTQ, SENSITIVITY, QAT, BENCHMARK = (INSTANCES[name] for name in ("ptq", "sensitivity", "qat", "benchmark"))


def site(name: str, depthwise: bool = False, macs: int = 100) -> Site:
    shape, weight = ((1, 8, 4, 4), (8, 1, 3, 3)) if depthwise else ((1, 8, 4, 4), (8, 8, 3, 3))
    return Site(
        name=name, kind="convolution", macs=macs, roles=("input",), input_shape=shape, weight_shape=weight
    )  # fmt: skip


def rules(given) -> set[str]:
    return {one.rule for one in given}


def ranges(largest: float, entropy: float, tail: float) -> dict[str, dict[str, float | None]]:
    return {"max": {"conv": largest}, "entropy": {"conv": entropy}, "percentile:99.99": {"conv": tail}}


def seen(values, growth=()) -> Observations:
    histogram = Histogram.of(np.asarray(values, float))
    return Observations({TensorId("conv", "input"): histogram}, Coverage(sites=(site("conv"),)), 64, growth=growth)


@pytest.mark.parametrize(("tail", "fires"), [(1.0, True), (1.01, False), (16.0, False)])
def test_an_outlier_is_16_times_the_tail(tail, fires):
    (*found,) = results.outliers(ranges(16.0, 2.0, tail))
    assert bool(found) == fires
    if fires:
        assert found[0].sites == ("conv",)
        assert "16 times" in found[0].evidence


@pytest.mark.parametrize(("entropy", "tail", "fires"), [(10.0, 4.0, True), (9.0, 4.0, False), (10.0, 9.0, False)])
def test_entropy_degenerates_where_it_is_the_maximum_though_the_tail_is_not(entropy, tail, fires):
    assert bool(list(results.degenerate(ranges(10.0, entropy, tail)))) == fires


@pytest.mark.parametrize(("largest", "lowest", "fires"), [(50.0, -0.17, True), (10.0, -0.17, False), (50.0, -5, False)])
def test_gelu_negatives_are_lost_at_50_and_not_at_10(largest, lowest, fires):
    observed = seen([lowest, 0.0, 1.0, largest])
    assert ("negatives-lost" in rules(of_calibration(observed, {"max": {"conv": largest}}, 8))) == fires


def test_ranges_that_grow_in_the_second_half_still_move():
    notes = [Growth(n, {"conv": amax}, {"conv": 1.0}) for n, amax in ((16, 1.0), (32, 2.0), (64, 4.0))]
    given = of_calibration(seen([0.0, 4.0], tuple(notes)), {}, 8)
    assert rules(given) == {"still-moving"}
    assert movement(tuple(notes)) == {"conv": 0.5}


def test_ranges_that_have_settled_are_not_spoken_of():
    notes = tuple(Growth(n, {"conv": 4.0}, {"conv": 1.0}) for n in (16, 32, 64))
    assert of_calibration(seen([0.0, 4.0], notes), {}, 8) == ()
    assert movement(notes[:1]) == {}


@pytest.mark.parametrize(("relative", "low", "fires"), [(-0.5, -2.0, True), (-0.5, -0.6, False), (-3.0, -4.0, False)])
def test_ptq_is_undecided_where_only_the_estimate_is_within(relative, low, fires):
    row = PTQ.rows[0].model_copy(update={"relative": relative, "change_interval": (low, 0.0)})
    result = PTQ.model_copy(update={"rows": (row,), "best": row.calibration, "fp32": 100.0, "ranges": {}})
    assert ("undecided" in rules(results.of_ptq(result))) == fires


@pytest.mark.parametrize(("granularity", "fold", "fires"), [("per-tensor", True, True), ("per-channel", True, False),
                                                            ("per-tensor", False, False)])  # fmt: skip
def test_folded_depthwise_weights_want_a_range_per_channel(granularity, fold, fires):
    params = PtqParams(weight_granularity=granularity, fold_bn=fold)
    result = PTQ.model_copy(update={"params": params, "coverage": Coverage(sites=(site("dw", depthwise=True),))})
    assert ("depthwise-per-tensor" in rules(results.of_ptq(result))) == fires


def sensitivity(order: list[str], ties: list[int], depthwise: frozenset[str] = frozenset()):
    sites = tuple(site(name, name in depthwise) for name in sorted(order))
    rows = tuple(
        SENSITIVITY.rows[0].model_copy(update={"site": name, "tie": tie, "divergence": 1.0})
        for name, tie in zip(order, ties, strict=True)
    )
    return SENSITIVITY.model_copy(
        update={"rows": rows, "coverage": Coverage(sites=sites), "params": SensitivityParams()}
    )  # fmt: skip


def test_the_first_layer_at_the_top_is_told_of():
    assert rules(results.of_sensitivity(sensitivity(list("acbde"), [0, 1, 2, 3, 4]))) == {"first-layer"}


def test_the_last_layer_at_the_top_is_told_of():
    assert rules(results.of_sensitivity(sensitivity(list("cebda"), [0, 1, 2, 3, 4]))) == {"last-layer"}


def test_inner_layers_at_the_top_are_no_news():
    assert results.of_sensitivity(sensitivity(list("bcdea"), [0, 1, 2, 3, 4])) == ()


@pytest.mark.parametrize(("ties", "fires"), [([0, 0, 0, 1, 1], True), ([0, 0, 1, 1, 1], False)])
def test_three_that_share_the_first_place_ask_for_more_images(ties, fires):
    assert ("tied" in rules(results.of_sensitivity(sensitivity(list("bcdea"), ties)))) == fires


def test_depthwise_layers_at_the_top_are_told_of_unless_most_layers_are_depthwise():
    few = sensitivity(list("bcdfgaeh"), list(range(8)), frozenset("bcd"))
    assert "depthwise-sensitive" in rules(results.of_sensitivity(few))
    most = sensitivity(list("bcdfgaeh"), list(range(8)), frozenset("bcdfg"))
    assert "depthwise-sensitive" not in rules(results.of_sensitivity(most))


@pytest.mark.parametrize(("best", "fires"), [(1, True), (3, False)])
def test_a_best_epoch_that_came_early_asks_for_a_lower_rate(best, fires):
    epochs = tuple(QAT.epochs[0].model_copy(update={"epoch": number}) for number in range(5))
    result = QAT.model_copy(update={"epochs": epochs, "run": QAT.run.model_copy(update={"best_epoch": best})})
    assert ("early-epoch" in rules(results.of_qat(result))) == fires


@pytest.mark.parametrize(("gain", "fires"), [(0.0, True), (2.0, False)])
def test_training_that_gains_nothing_is_told_of(gain, fires):
    low, high = QAT.ptq.change_interval
    interval = (high + gain, 2 * high - low + gain)
    qat = QAT.ptq.model_copy(update={"accuracy": QAT.ptq.accuracy + high - low + gain, "change_interval": interval})
    assert ("no-gain" in rules(results.of_qat(QAT.model_copy(update={"qat": qat})))) == fires


@pytest.mark.parametrize(("gain", "fires"), [(0.5, True), (0.2, False)])
def test_a_control_that_gains_is_told_of(gain, fires):
    control = QAT.qat.model_copy(update={"accuracy": QAT.fp32.accuracy + gain})
    result = QAT.model_copy(update={"fp32_control": control})
    assert ("control-gains" in rules(results.of_qat(result))) == fires


@pytest.mark.parametrize(("speedup", "planned", "fires"), [(0.8, True, True), (1.2, True, False), (0.8, False, False)])
def test_a_layer_that_int8_slows_down_is_named(speedup, planned, fires):
    row = BENCHMARK.layers.rows[0].model_copy(update={"speedup": speedup, "planned": planned})
    result = BENCHMARK.model_copy(
        update={"layers": BENCHMARK.layers.model_copy(update={"rows": (row,)}), "rows": ()}
    )  # fmt: skip
    given = results.of_benchmark(result)
    assert bool(given) == fires
    if fires:
        assert given[0].sites == (row.site,)


def test_sites_that_the_engine_left_in_floating_point_are_counted():
    row = BENCHMARK.rows[0].model_copy(update={"int8_sites": 3, "planned_sites": 5})
    result = BENCHMARK.model_copy(update={"layers": None, "rows": (row,)})
    (one,) = results.of_benchmark(result)
    assert "3 of the 5" in one.evidence


def test_a_rule_speaks_once_for_all_stages():
    first = results.of_workflow({"ptq": PTQ, "sensitivity": SENSITIVITY, "qat": QAT, "benchmark": BENCHMARK})
    assert len(rules(first)) == len(first)
    assert all(one.evidence and one.remedy for one in first)
