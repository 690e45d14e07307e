import pytest

from qanalysis.figures.sensitivity.partial import Pin, steps, tradeoff
from tests.figures.factories import partial

AGAINST = {"fp32": 76.0, "target": 1.0, "metric": "accuracy"}
PIN = Pin("mine", 75.0, (-1.3, -0.7), 97.0, 2_500_000)


def texts(figure):
    return [annotation.text for annotation in figure.layout.annotations]


def test_steps_have_their_intervals_and_name_the_layer():
    trace = steps(partial(73.0, 75.0, 75.5, chosen=2), **AGAINST).data[0]
    assert list(trace.x) == [0, 1, 2]
    assert (trace.error_y.arrayminus[1], trace.error_y.array[1]) == pytest.approx((0.3, 0.3))
    assert "nothing skipped" in trace.hovertext[0]
    assert "also skipped: blocks.1.conv" in trace.hovertext[2]


def test_lines_at_fp32_the_target_and_all_quantized():
    figure = steps(partial(73.0, 75.0), **AGAINST)
    assert [shape.y0 for shape in figure.layout.shapes] == pytest.approx([76.0, 75.24, 73.0])


def test_two_searches_are_two_curves_with_a_mark_each():
    greedy = partial(73.0, 75.6, chosen=1, search="greedy")
    figure = steps(partial(73.0, 75.0, 75.5, chosen=2), greedy=greedy, **AGAINST)
    assert [trace.name for trace in figure.data[:2]] == ["in order of sensitivity", "greedy search"]
    assert {"<b>skip 1</b>", "<b>skip 2</b>"} <= set(texts(figure))


def test_step_below_the_axis_is_marked_on_its_bottom():
    figure = steps(partial(1.0, 70.0, 75.5, chosen=2), **AGAINST)
    low = figure.layout.yaxis.range[0]
    assert low > 60
    assert figure.data[1].y == (low,)
    assert "accuracy 1.00 %" in figure.data[1].hovertext[0]
    assert "▼ all quantized 1.00 %" in texts(figure)


def test_skipping_nothing_can_be_enough():
    assert "<b>skip none</b>" in texts(steps(partial(75.9, chosen=0), **AGAINST))


def test_no_steps_say_so():
    assert not steps(partial(), **AGAINST).data


def test_tradeoff_draws_steps_and_pins_over_the_share_of_integers():
    figure = tradeoff(partial(73.0, 75.0, 75.5, chosen=2), [PIN], **AGAINST)
    line, pins = figure.data[:2]
    assert list(line.x) == [100.0, 95.0, 90.0]
    assert (list(pins.x), list(pins.y)) == ([97.0], [75.0])
    assert {"mine", "skip 2"} <= set(texts(figure))
    assert "2.50 MB" in pins.hovertext[0]


def test_tradeoff_has_all_in_integers_at_the_right():
    low, high = tradeoff(None, [PIN], **AGAINST).layout.xaxis.range
    assert low < 97 < 100 < high


@pytest.mark.parametrize(("given", "pins", "traces"), [(None, [PIN], 1), (partial(73.0), [], 1), (partial(), [], 0)])
def test_tradeoff_of_nearly_nothing(given, pins, traces):
    assert len(tradeoff(given, pins, **AGAINST).data) == traces
