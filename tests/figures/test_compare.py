"""Runs side by side: what is drawn is what was measured, and nothing is drawn of what was not."""

import math

import pytest

from qanalysis.figures import compare
from qanalysis.insight.headline import Headline
from qanalysis.schema.results.answers import ClassAccuracy


def texts(figure) -> str:
    return " ".join(annotation.text for annotation in figure.layout.annotations)


def test_a_change_is_drawn_with_its_interval_and_accuracy():
    head = Headline(what="PTQ", fp32=80.0, accuracy=78.0, change_interval=(-2.5, -1.4))
    figure = compare.changes([("mine", head)])
    (dot,) = figure.data
    assert dot.x == (-2.0,)
    assert (dot.error_x.array[0], dot.error_x.arrayminus[0]) == pytest.approx((0.6, 0.5))
    assert "78.00 %" in texts(figure)
    assert list(figure.layout.yaxis.ticktext) == ["mine"]


def test_a_run_without_an_accuracy_keeps_its_colour_free_for_itself():
    bench = Headline(what="openvino int8", fp32=80.0, latency_ms=2.0)
    first = Headline(what="PTQ", fp32=80.0, accuracy=79.0)
    alone = compare.changes([("bench", bench), ("ptq", first)])
    assert len(alone.data) == 1
    other = compare.changes([("ptq", first)])
    assert alone.data[0].marker.color != other.data[0].marker.color


def test_ranges_are_relative_to_the_first_run_that_has_them():
    figure = compare.ranges(["bench", "a", "b"], {"conv": (None, 2.0, 1.0), "fc": (None, 4.0, 6.0)})
    assert [trace.name for trace in figure.data] == ["a", "b"]
    assert figure.data[1].y == (0.5, 1.5)
    low, high = figure.layout.yaxis.range
    assert low < math.log10(0.5) < math.log10(1.5) < high


def test_classes_that_lose_most_come_first():
    rows = [
        ClassAccuracy(number=0, samples=10, before=9, after=9),
        ClassAccuracy(number=1, samples=10, before=9, after=6),
        ClassAccuracy(number=7, samples=4, before=2, after=3),
    ]
    figure = compare.classes(rows, ["cat", "dog"])
    assert list(figure.layout.yaxis.ticktext) == ["dog", "cat", "class 7"]
    assert figure.data[1].x == (90.0, 90.0, 50.0)
    assert figure.data[2].x == (60.0, 90.0, 75.0)
    assert "-30.0" in texts(figure)


@pytest.mark.parametrize(
    "figure",
    [compare.changes([]), compare.ranges(["a"], {}), compare.classes([], [])],
    ids=["changes", "ranges", "classes"],
)
def test_without_anything_to_draw_a_sentence_says_so(figure):
    assert not figure.data
    assert texts(figure)
