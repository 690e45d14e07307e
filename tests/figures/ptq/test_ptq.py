import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.figures.look.labels import ROW
from qanalysis.figures.look.scales import window
from qanalysis.figures.ptq.ptq import against_paper, bars
from qanalysis.schema.paper import paper_row
from tests.figures.factories import ptq

ACCURACY = st.floats(0, 100)


def texts(figure):
    return [annotation.text for annotation in figure.layout.annotations]


def same(values):
    return [(value, value) for value in values]


def test_bars_hang_from_fp32_to_the_accuracy():
    boxes = bars(ptq(76.0, (75.0, 76.5))).data[0]
    assert boxes.base == 76.0
    assert [boxes.base + length for length in boxes.y] == pytest.approx([75.0, 76.5])


def test_whiskers_are_the_paired_interval():
    whiskers = bars(ptq(76.0, (75.0,))).data[1].error_y
    assert (whiskers.arrayminus[0], whiskers.array[0]) == pytest.approx((0.2, 0.3))


def test_best_is_marked():
    marked = [text for text in texts(bars(ptq(76.0, (75.0, 75.9, 75.5)))) if "★" in text]
    assert len(marked) == 1
    assert "75.90" in marked[0]


def test_lines_at_fp32_and_one_percent_relative_loss():
    assert [shape.y0 for shape in bars(ptq(80.0)).layout.shapes] == pytest.approx([80.0, 79.2])


def test_catastrophic_row_is_cut_with_its_value():
    figure = bars(ptq(79.71, paper_row("inception_v4").accuracies))
    assert figure.layout.yaxis.range[0] > 60
    assert "▼ 0.1 %" in texts(figure)
    assert figure.data[1].x == (1, 2, 3, 4, 5)


def test_metric_agreement_changes_the_words():
    figure = bars(ptq(100.0, (99.0,), metric="agreement"))
    assert "agreement" in figure.layout.yaxis.title.text
    assert "agreement with fp32 99.00 %" in figure.data[0].hovertext[0]


def test_one_row():
    assert len(bars(ptq(76.0, (75.0,))).data[0].x) == 1


def test_no_rows_say_so():
    assert not bars(ptq(accuracies=())).data


@given(st.floats(1, 100), st.lists(ACCURACY, min_size=1, max_size=8))
def test_window_shows_fp32_one_percent_and_the_best_half(fp32, values):
    low, high = window(fp32, values, same(values))
    shown = sorted(values, reverse=True)[: (len(values) + 1) // 2]
    assert low < 0.99 * fp32 <= fp32 < high
    assert all(low < value < high for value in shown)


def test_window_ignores_a_catastrophe():
    assert window(80.0, [79.0, 79.5, 78.8, 0.1], same([79.0, 79.5, 78.8, 0.1]))[0] > 78


def test_window_shows_everything_where_all_is_bad():
    accuracies = paper_row("efficientnet_b0").accuracies
    assert window(76.85, accuracies, same(accuracies))[0] < min(accuracies)


def drawn(figure, name):
    """x and y of the marks of a legend entry, by x."""
    (trace,) = [trace for trace in figure.data if name in trace.name and trace.x[0] is not None]
    return dict(zip([round(x) for x in trace.x], trace.y, strict=True)), trace


def test_paper_is_compared_by_relative_loss():
    paper = paper_row("resnet50")
    ours, _ = drawn(against_paper(ptq(76.0, (75.24,)), paper), "this network")
    theirs, _ = drawn(against_paper(ptq(76.0, (75.24,)), paper), "paper")
    assert ours == pytest.approx({0: -1.0})
    assert [theirs[i] for i in range(6)] == pytest.approx([100 * (a - 76.16) / 76.16 for a in paper.accuracies])


def test_papers_marks_are_hollow():
    _, trace = drawn(against_paper(ptq(), paper_row("resnet50")), "paper")
    assert set(trace.marker.symbol) == {"circle-open"}


def test_papers_catastrophe_is_cut_with_its_value():
    figure = against_paper(ptq(), paper_row("inception_v4"))
    _, trace = drawn(figure, "paper")
    assert trace.marker.symbol[0] == "triangle-down-open"
    assert "-100 %" in texts(figure)


@pytest.mark.parametrize("worst", [-1.0, -30.0, -95.0], ids="{} %".format)
def test_the_words_beside_the_lines_do_not_overlap_however_wide_the_axis(worst):
    accuracies = [76.16 * (1 + worst * share / 100) for share in (1, 0.9, 0.8, 0.7, 0.6, 0.5)]
    figure = against_paper(ptq(76.16, accuracies), paper_row("resnet50"))
    low, high = figure.layout.yaxis.range
    plot = figure.layout.height - figure.layout.margin.t - figure.layout.margin.b
    places = []
    for note in figure.layout.annotations:
        if note.text in ("fp32", "1 % loss"):
            moved = note.ay if note.showarrow else -(note.yshift or 0)
            places.append((high - note.y) / (high - low) * plot + moved)
    assert len(places) == 2
    assert places[1] - places[0] >= ROW - 1e-6
    assert [shape.y0 for shape in figure.layout.shapes] == [0, -1]


def test_architecture_that_is_not_in_the_paper_says_so():
    figure = against_paper(ptq(), None)
    assert not figure.data
    assert "paper" in texts(figure)[0]


def test_nothing_measured_says_so():
    assert "measured" in texts(against_paper(ptq(accuracies=()), paper_row("resnet50")))[0]
