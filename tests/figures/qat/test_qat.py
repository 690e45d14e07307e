"""Figures of a fine-tune: what is drawn is what was measured, at the start, half-way and at the end."""

import itertools

import numpy as np
import pytest

from qanalysis.figures.look import series
from qanalysis.figures.look import theme as themes
from qanalysis.figures.qat import accuracy
from qanalysis.figures.qat.accuracy import Course, RunCurves
from qanalysis.figures.qat.runs import lowest
from qanalysis.schema.results.trace import Trace
from tests.figures import trainings
from tests.figures.look.test_theme import contrast

PLAN = {"steps": trainings.STEPS, "steps_per_epoch": trainings.PER_EPOCH}
ACCURACIES = {"fp32": 91.0, "ptq": 65.0, "last": 4}


def words(figure):
    return [annotation.text for annotation in figure.layout.annotations]


def named(figure, name):
    return next(trace for trace in figure.data if trace.name == name)


@pytest.mark.parametrize(
    "figure",
    [
        accuracy.loss([], **PLAN),
        accuracy.loss([Course("qat")], **PLAN),
        accuracy.accuracy([], fp32=None, ptq=None),
        accuracy.pace([], steps=80),
        accuracy.ranges(Trace(), ["conv1"], fixed={}, steps=80),
        accuracy.ranges(trainings.trace(), [], fixed={}, steps=80),
        accuracy.moves({}, {}),
        accuracy.moves({"fc": None}, {"fc": None}),
        accuracy.weights(Trace(), "conv1"),
        accuracy.weights(trainings.trace(), "unknown"),
        accuracy.comparison([], fp32=91.0),
        accuracy.comparison([RunCurves("a")], fp32=None),
    ],
)
def test_nothing_yet_is_a_sentence(figure):
    assert len(figure.data) == 0
    assert words(figure)[0].endswith((".", "compare."))


@pytest.mark.parametrize(
    "figure",
    [
        accuracy.loss([trainings.course(done=1)], **PLAN),
        accuracy.pace([trainings.course(done=1)], steps=80),
        accuracy.ranges(trainings.trace(1), ["conv1"], fixed=trainings.BEFORE, steps=80),
    ],
)
def test_a_single_step_is_a_mark(figure):
    assert all("markers" in trace.mode for trace in figure.data if len(trace.x) == 1)


def test_the_axis_of_steps_waits_for_all_of_them():
    early, late = (accuracy.loss([trainings.course(done=done)], **PLAN) for done in (5, 80))
    assert early.layout.xaxis.range == late.layout.xaxis.range
    assert early.layout.xaxis.range[1] >= trainings.STEPS


def test_loss_marks_the_ends_of_epochs():
    figure = accuracy.loss(trainings.COURSES, **PLAN)
    assert [shape.x0 for shape in figure.layout.shapes] == [20, 40, 60, 80]
    assert words(figure) == ["epoch 1", "2", "3", "4"]


def test_of_many_epochs_few_are_numbered():
    figure = accuracy.loss([trainings.course()], steps=80, steps_per_epoch=1)
    assert len(words(figure)) <= 9


def test_running_mean_of_the_loss_is_the_mean_of_the_last_rows():
    losses = [row.loss for row in trainings.COURSES[0].steps]
    smooth = named(accuracy.loss(trainings.COURSES, **PLAN), "QAT").y
    width = round(0.04 * trainings.STEPS)
    expected = [np.mean(losses[max(0, i - width + 1) : i + 1]) for i in range(len(losses))]
    np.testing.assert_allclose(smooth, expected, rtol=1e-5)


def test_accuracy_shows_what_was_measured_and_the_epoch_that_was_kept():
    figure = accuracy.accuracy(trainings.COURSES, **ACCURACIES)
    assert list(named(figure, "QAT").y) == [65.0, 82.0, 86.0, 88.0, 87.0]
    assert named(figure, "fp32 control").line.dash == "dash"
    assert (list(named(figure, "kept").x), list(named(figure, "kept").y)) == ([3], [88.0])
    assert words(figure) == ["fp32 91.00 %", "PTQ 65.00 %"]


def test_accuracy_before_training_has_its_lines():
    figure = accuracy.accuracy([], fp32=91.0, ptq=65.0, last=4)
    assert len(figure.layout.shapes) == 2


def test_a_useless_start_does_not_flatten_the_rest():
    low, high = lowest([[10.0, 88.0, 89.0]], [91.0, 10.0])
    assert 80 < low < 88
    assert high > 91
    assert lowest([[65.0, 82.0, 86.0]], [91.0])[0] < 65


def test_axis_of_accuracies_holds_every_later_epoch():
    low, high = lowest([[10.0, 88.0, 20.0], [91.0, 91.5]], [91.0])
    assert low < 20
    assert high > 91.5


def test_pace_has_the_schedule_once_and_both_speeds():
    figure = accuracy.pace(trainings.COURSES, steps=80)
    rates = [trace for trace in figure.data if trace.yaxis is None]
    assert len(rates) == 1
    assert rates[0].y[0] == pytest.approx(trainings.COURSES[0].steps[0].learning_rate)
    assert len([trace for trace in figure.data if trace.yaxis == "y2"]) == 2


def test_every_learned_range_has_its_fixed_one_dotted_in_its_colour():
    figure = accuracy.ranges(trainings.trace(), ["conv1", "layer.conv"], fixed=trainings.BEFORE, steps=80)
    solid = [trace for trace in figure.data if trace.line.dash == "solid"]
    dotted = [trace for trace in figure.data if trace.line.dash == "dot"]
    assert [trace.line.color for trace in solid] == [trace.line.color for trace in dotted]
    assert [list(trace.y) for trace in dotted] == [[2.0, 2.0], [12.0, 12.0]]
    np.testing.assert_allclose(solid[0].y, [2.0, 1.9, 1.8, 1.7, 1.6], rtol=1e-6)
    assert words(figure) == ["conv1 1.6", "layer.conv 16"]


def test_moves_are_shares_of_the_calibrated_range():
    figure = accuracy.moves(trainings.BEFORE, {"conv1": 1.5, "layer.conv": 15.0, "fc": None})
    assert [100 + x for x in figure.data[0].x] == [75.0, 125.0]
    assert words(figure) == ["75 %", "125 %"]
    assert list(figure.layout.yaxis.ticktext) == ["conv1", "layer.conv"]


def test_weights_gather_at_the_lines_of_the_grid():
    figure = accuracy.weights(trainings.trace(), "layer.conv")
    before, after = figure.data
    lines = [shape.x0 for shape in figure.layout.shapes]
    assert lines == list(range(-7, 8))
    x = np.asarray(after.x)
    assert set(x[np.asarray(after.y) > 0]) == set(map(float, lines))
    per_code = (len(x) - 1) / (x[-1] - x[0])
    for trace in (before, after):
        assert np.asarray(trace.y).sum() / per_code == pytest.approx(100, rel=1e-5)


def test_weights_of_eight_bits_show_the_inner_codes():
    figure = accuracy.weights(trainings.trace(code=127), "conv1")
    assert "of ±127 codes, the inner ±8" in figure.layout.xaxis.title.text
    assert list(figure.layout.xaxis.range) == [-8.5, 8.5]


def test_weights_before_training_stand_alone():
    assert len(accuracy.weights(trainings.trace(), "conv1", epoch=0).data) == 1


def test_few_weights_get_wider_bins_centred_on_codes():
    made = trainings.trace()
    thin = Trace(
        tensors=(), sites=made.sites, codes=made.codes, epochs=made.epochs, weights=(made.weights > 0).astype(np.uint32)
    )
    figure = accuracy.weights(thin, "conv1")
    x = np.asarray(figure.data[0].x)
    assert x[1] - x[0] == 0.25
    assert {-1.0, 0.0, 1.0} <= set(x)
    assert np.asarray(figure.data[0].y).sum() / 4 == pytest.approx(100, rel=1e-5)


def test_comparison_gives_each_run_a_colour_and_dashes_its_control():
    runs = [
        RunCurves("a", trainings.epochs(65, 80), trainings.epochs(91, 90)),
        RunCurves("b", trainings.epochs(70, 85), live=True),
    ]
    figure = accuracy.comparison(runs, fp32=91.0, last=4)
    a, control, b = figure.data
    assert a.line.color == control.line.color != b.line.color
    assert (a.line.dash, control.line.dash) == ("solid", "dash")
    assert words(figure) == ["fp32 91.00 %", "a 80.0 %", "fp32 control 90.0 %", "b 85.0 % so far"]
    assert figure.layout.xaxis.range[1] > 4


def test_a_control_alone_has_the_colour_of_floating_point():
    figure = accuracy.comparison([RunCurves("control", control=trainings.epochs(91, 90))], fp32=91.0)
    assert figure.data[0].line.color == themes.precision_colour("fp32", "light")


def test_ends_of_lines_do_not_touch():
    lines = [series.End(80.0, f"run {i}", "#000000") for i in range(6)]
    notes = series.ends(lines, (0.0, 100.0), 400)
    places = sorted(200 * 0.4 + note["ay"] for note in notes)
    assert min(b - a for a, b in itertools.pairwise(places)) >= 17 - 1e-9


def test_long_names_are_cut_and_have_room():
    lines = [series.End(1.0, "n" * 100, "#000000")]
    assert len(series.ends(lines, (0, 2), 100)[0]["text"]) == series.LONGEST
    assert series.room(lines) < 400


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_series_stand_out_from_the_page(theme):
    page = themes.PALETTES[theme].page
    assert all(contrast(colour, page) >= 3 for colour in series.COLOURS[theme])
    looks = [(series.colour(i, theme), series.symbol(i)) for i in range(32)]
    assert len(set(looks)) == len(looks)
