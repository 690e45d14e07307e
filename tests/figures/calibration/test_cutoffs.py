import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.figures.calibration.cutoffs import coincident, marks, place
from qanalysis.figures.look.labels import text_width

LENGTH = 600.0
LABELS = st.lists(
    st.tuples(st.floats(0, LENGTH) | st.sampled_from([0.0, 100.0, 101.0, 550.0, LENGTH]), st.floats(20, 200)),
    max_size=9,
)


def extents(labels, placements, scale=1.0):
    """Left and right end, row and line of each label."""
    return [
        (x * scale, x * scale + width, p.row, x * scale)
        if p.side == "right"
        else (x * scale - width, x * scale, p.row, x * scale)
        for (x, width), p in zip(labels, placements, strict=True)
    ]


@given(LABELS, st.floats(1, 5))
def test_labels_never_touch_on_that_or_a_longer_axis(labels, scale):
    placed = extents(labels, place([x for x, _ in labels], [w for _, w in labels], LENGTH), scale)
    for i, (left, right, row, _) in enumerate(placed):
        for other_left, other_right, other_row, _ in placed[:i]:
            assert row != other_row or left >= other_right - 1e-6 or other_left >= right - 1e-6


@given(LABELS, st.floats(1, 5))
def test_no_line_runs_through_a_label(labels, scale):
    placed = extents(labels, place([x for x, _ in labels], [w for _, w in labels], LENGTH), scale)
    for left, right, row, _ in placed:
        for *_, other_row, line in placed:
            assert not (left + 1e-6 < line < right - 1e-6 and other_row >= row)


@given(LABELS)
def test_labels_stay_within_the_right_edge(labels):
    placements = place([x for x, _ in labels], [w for _, w in labels], LENGTH)
    assert all(right <= LENGTH + 1e-6 for _, right, _, _ in extents(labels, placements))


def test_labels_far_apart_share_the_first_row():
    assert [p.row for p in place([0, 200, 400], [100, 100, 100], 600)] == [0, 0, 0]


def test_no_labels():
    assert place([], [], 600) == ()


def test_coincident_cutoffs_are_grouped_in_order():
    cutoffs = {"max": 3.0, "entropy": 2.0, "mse": 3.0 * (1 + 1e-9), "percentile:99": None}
    assert coincident(cutoffs) == [(3.0, ["max", "mse"]), (2.0, ["entropy"])]


def test_text_width_grows_with_the_text():
    assert 0 == text_width("") < text_width("max") < text_width("max = entropy") < text_width("max = entropy", 14)


def drawn(cutoffs, **options):
    return marks(cutoffs, theme="light", span=(-4.0, 4.0), room=600, **options)


def words(annotation):
    return re.sub("<[^>]*>", "", annotation["text"])


def test_coincident_cutoffs_share_one_label():
    assert [words(a) for a in drawn({"max": 3.0, "entropy": 3.0, "mse": 1.0}).annotations] == ["max = entropy", "MSE"]


def test_mirrored_line_is_drawn_on_both_sides():
    (shape,) = drawn({"max": 3.0}, mirrored=True).shapes
    assert re.findall(r"M(-?[\d.]+),", shape["path"]) == ["3", "-3"]


def test_mirror_image_beyond_the_axis_is_left_out():
    (shape,) = marks({"max": 3.0}, theme="light", span=(-1.0, 4.0), room=600, mirrored=True).shapes
    assert shape["path"].count("M") == 1


@pytest.mark.parametrize("custom", [0.5, 2.9, 3.0, 4.0])
def test_other_labels_stay_where_they_are_while_the_custom_cutoff_moves(custom):
    cutoffs = {"max": 3.0, "entropy": 2.9, "mse": 1.0}
    there, here = drawn(cutoffs, custom=1.0), drawn(cutoffs, custom=custom)
    assert here.annotations[:3] == there.annotations[:3]
    assert here.height == there.height


def test_custom_label_has_a_row_of_its_own():
    annotations = drawn({"max": 3.0, "mse": 1.0}, custom=2.0).annotations
    assert annotations[-1]["yshift"] == 0
    assert all(annotation["yshift"] > 0 for annotation in annotations[:-1])


def test_custom_line_is_thicker():
    shapes = drawn({"max": 3.0}, custom=2.0).shapes
    assert shapes[-1]["line"]["width"] > shapes[0]["line"]["width"]
