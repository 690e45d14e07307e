"""Figures of benchmarks: what is drawn, in numbers."""

import math

import pytest

from qanalysis.figures.benchmark import latency, parity, tradeoff
from tests.figures import benchmarks as made


def trace(figure, name: str):
    (found,) = [one for one in figure.data if one.name == name]
    return found


def words(figure) -> list[str]:
    return [note.text for note in figure.layout.annotations]


def test_a_bar_is_as_long_as_the_median_and_says_the_speed_up():
    figure = latency.latency(made.ROWS)
    assert list(figure.data[0].x) == [3.0, 1.0, 3.3, 6.0]
    assert words(figure)[1] == "1 ms, 3.00 ×"
    assert figure.layout.yaxis.ticktext[3] == "ONNX Runtime · int8"


def test_whiskers_reach_from_the_shortest_to_the_95th_percentile():
    bars = latency.latency(made.ROWS).data[0]
    assert bars.x[1] - bars.error_x.arrayminus[1] == pytest.approx(0.9)
    assert bars.x[1] + bars.error_x.array[1] == pytest.approx(1.2)


def test_a_row_much_slower_than_the_others_is_cut_and_says_so():
    rows = (*made.ROWS, made.row("torch", "bf16", 100.0))
    figure = latency.latency(rows)
    assert figure.data[0].x[-1] == figure.layout.xaxis.range[1] < 20
    assert words(figure)[-1].startswith("▶ 100 ms")


def test_a_saved_plan_is_named():
    figure = latency.latency([made.row(plan="without stem")])
    assert figure.layout.yaxis.ticktext[0] == "OpenVINO · int8 · without stem"


def test_layers_have_a_bar_for_each_precision_and_a_pale_end_for_conversions():
    figure = latency.layers(made.LAYERS.rows, ["fp32", "int8"])
    assert list(trace(figure, "int8").x) == [0.25, 0.3, 0.02]
    conversions = trace(figure, "converting inputs, int8")
    assert list(conversions.base) == [0.25, 0.3, 0.02]
    assert set(conversions.x) == {0.05}
    assert not [one for one in figure.data if one.name == "converting inputs, fp32"]  # there are none


def test_layers_where_int8_does_not_pay_stand_out():
    figure = latency.layers(made.LAYERS.rows, ["fp32", "int8"])
    coloured = ["color" in text for text in figure.layout.yaxis.ticktext]
    assert coloured == [row.speedup < 1 for row in made.LAYERS.rows] == [False, True, False]


def test_a_layer_s_hover_says_what_really_ran():
    rows = [made.layer("stem", 0.8, 0.7, ran={"fp32": "fp32", "int8": "fp32"})]
    hover = trace(latency.layers(rows, ["int8"]), "int8").hovertext[0]
    assert "asked for int8, really ran in fp32: brgemm_i8" in hover


def test_roofline_bends_where_memory_feeds_arithmetic():
    figure = latency.roofline(made.LAYERS.rows, made.ROOFLINE)
    line = figure.data[0]
    ridge = made.ROOFLINE.peak_gops["fp32"] / made.ROOFLINE.bandwidth_gbs
    assert list(line.y)[-1] == 200.0
    assert ridge in line.x
    for x, y in zip(line.x, line.y, strict=True):
        assert y == pytest.approx(min(200.0, 30.0 * x))


def test_roofline_has_a_dot_for_each_layer_and_precision():
    figure = latency.roofline(made.LAYERS.rows, made.ROOFLINE)
    dots = trace(figure, "layers in int8")
    assert list(dots.y) == [16 / 0.25, 16 / 0.3, 16 / 0.02]
    assert [one[0] for one in dots.customdata] == list(made.SITES)
    low, high = figure.layout.yaxis.range
    assert low < math.log10(min(dots.y))
    assert high > math.log10(max(*dots.y, 700))


def test_gemm_has_a_line_for_each_precision():
    figure = latency.gemm(made.GEMM)
    assert list(trace(figure, "int8").y) == [pytest.approx(700 * size / 2048) for size in (128, 512, 2048)]
    assert figure.layout.xaxis.ticktext == ("128", "512", "2048")


def test_gemm_ratio_is_over_fp32_beside_the_instructions():
    figure = latency.gemm_ratio(made.GEMM, {"int8": 4.0, "bf16": 2.0})
    assert list(trace(figure, "int8").y) == [pytest.approx(3.5)] * 3
    levels = sorted(shape.y0 for shape in figure.layout.shapes)
    assert levels == [1.0, 2.0, 4.0]
    assert "int8, instructions 4 ×" in words(figure)


def test_gemm_ratio_without_fp32_says_so():
    figure = latency.gemm_ratio([row for row in made.GEMM if row.precision != "fp32"], {})
    assert "no fp32" in words(figure)[0]


def point(key: str, ms: float, accuracy: float, kind: str = "int8", measured: bool = True) -> tradeoff.Point:
    return tradeoff.Point(key, key, kind, ms, accuracy, 1, 3, measured)


POINTS = [point("fp32", 3.0, 76.0, "fp32"), point("a", 1.0, 75.0), point("b", 1.5, 75.8), point("c", 1.6, 75.1)]


def test_the_front_joins_plans_that_no_other_beats():
    front = trace(tradeoff.tradeoff(POINTS, fp32=76.0, target=1.0), "not beaten in both")
    assert list(front.x) == [1.0, 1.5, 3.0]
    assert list(front.y) == [75.0, 75.8, 76.0]


def test_marks_tell_their_key_and_predicted_ones_are_hollow():
    figure = tradeoff.tradeoff([*POINTS, point("s", 1.2, 75.5, "search", False)], fp32=76.0, target=1.0, selected="b")
    assert [one[0] for one in trace(figure, "measured plans").customdata] == ["a", "b", "c"]
    assert trace(figure, "tried by the search, predicted").marker.symbol == ("square-open",)
    rings = [one for one in figure.data if one.marker.symbol == "circle-open"]
    assert [list(one.x) for one in rings] == [[1.5]]


def test_a_plan_that_loses_far_more_lies_on_the_bottom():
    figure = tradeoff.tradeoff([*POINTS, point("deep", 0.9, 10.0)], fp32=76.0, target=1.0)
    marks = trace(figure, "measured plans")
    assert marks.marker.symbol[-1] == "triangle-down"
    assert marks.y[-1] == figure.layout.yaxis.range[0] > 60


def test_checks_tell_fitted_from_checking():
    figure = tradeoff.checks(made.SPEED.checks)
    assert list(trace(figure, "only to check").y) == [1.9]
    assert list(trace(figure, "used for fitting").x) == [1.5]
    band = figure.data[0]
    assert max(band.y) / max(band.x) == pytest.approx(1 + tradeoff.GOOD / 100)


def test_parity_shows_every_site_below_the_tolerance():
    figure = parity.sites(made.PARITY, 1e-3)
    assert list(trace(figure, "what the layer computes").y) == [1e-7, 5e-7, 1e-8]
    assert figure.layout.shapes[0].y0 == 1e-3
    low, high = figure.layout.yaxis.range
    assert low < -8
    assert high > -3


@pytest.mark.parametrize(
    "figure",
    [
        latency.latency([]),
        latency.layers([], ["fp32"]),
        latency.roofline([], made.ROOFLINE),
        latency.roofline(made.LAYERS.rows, None),
        latency.gemm([]),
        tradeoff.tradeoff([], fp32=76.0, target=1.0),
        tradeoff.checks([]),
        parity.sites([], 1e-3),
    ],
)
def test_nothing_is_a_sentence(figure):
    assert not figure.data
    assert words(figure)[0].endswith(".")
