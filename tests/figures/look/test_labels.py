import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.figures.look.labels import ROW, Level, across, beside_points, spread, text_width

SHARES = st.floats(0, 1)


@given(st.lists(st.floats(0, 300), max_size=12))
def test_spread_keeps_apart_in_order_and_within(positions):
    found = spread(positions, 20, (0, 300))
    assert all(0 <= place <= 300 for place in found)
    assert all(b - a >= 20 - 1e-6 for a, b in itertools.pairwise(sorted(found)))
    assert all(found[i] <= found[j] for i in range(len(found)) for j in range(i) if positions[i] < positions[j])


def test_spread_moves_nothing_that_is_apart():
    assert spread([100, 10, 50], 20, (0, 300)) == [100, 10, 50]


def test_level_beyond_the_axis_has_no_line():
    shapes, notes = across([Level(1.0, "low", "#000000"), Level(5.0, "in", "#000000")], (4, 6), 300)
    assert [shape["y0"] for shape in shapes] == [5.0]
    assert notes[0]["text"] == "▼ low"


@pytest.mark.parametrize("width", [380, 700, 1300])
@given(points=st.lists(st.tuples(SHARES, SHARES), min_size=1, max_size=6))
def test_labels_of_points_never_touch_each_other(width, points):
    words = [f"plan number {i}" for i in range(len(points))]
    boxes = []
    for (x, y), text, offset in zip(points, words, beside_points(points, words, (380, 310)), strict=True):
        start = x * width + 9 if offset.right else x * width - 9 - text_width(text)
        boxes.append((start, start + text_width(text), y * 310 + offset.y - ROW / 2, y * 310 + offset.y + ROW / 2))
    for a, b in itertools.combinations(boxes, 2):
        assert a[1] <= b[0] + 1e-6 or b[1] <= a[0] + 1e-6 or a[3] <= b[2] + 1e-6 or b[3] <= a[2] + 1e-6
