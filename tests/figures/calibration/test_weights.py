import numpy as np
import pytest

from qanalysis.figures.calibration.weights import accuracy, channels, one_site
from qanalysis.schema.results.weights import ChannelStatistics
from tests.figures.factories import CHANNELS, weights

RESULT = weights(*CHANNELS)


def texts(figure):
    return " ".join(annotation.text for annotation in figure.layout.annotations)


def test_boxes_hold_the_quartiles_and_whiskers_the_extremes():
    box = channels(RESULT).data[0]
    five = [box.lowerfence[0], box.q1[0], box.median[0], box.q3[0], box.upperfence[0]]
    np.testing.assert_allclose(five, np.percentile(CHANNELS[0].amax, (0, 25, 50, 75, 100)))


def test_folded_boxes_stand_beside_the_unfolded():
    trained, folded = channels(RESULT, folded=True).data
    assert (list(trained.y), list(folded.y)) == ([0, 1], [0])


def test_folding_is_off_by_default():
    assert len(channels(RESULT).data) == 1


def test_axis_stays_when_folding_is_toggled():
    assert channels(RESULT).layout.xaxis.range == channels(RESULT, folded=True).layout.xaxis.range


def test_zero_channels_do_not_break_the_log_axis():
    folded = channels(RESULT, folded=True).data[1]
    assert folded.lowerfence[0] == 0.001


def test_weight_of_zeros_has_no_box():
    figure = channels(weights(ChannelStatistics(site="dead", amax=(0.0, 0.0))))
    assert list(figure.data[0].y) == []
    assert np.isfinite(figure.layout.xaxis.range).all()


def test_selected_row_is_marked():
    (band,) = channels(RESULT, selected="fc").layout.shapes
    assert (band.y0, band.y1) == (0.5, 1.5)


def test_channels_are_sorted():
    assert one_site(RESULT, "stem").data[0].y.tolist() == pytest.approx([0.2, 0.4, 0.5, 1.0])


def test_hover_names_the_channel():
    assert one_site(RESULT, "stem").data[0].customdata[:, 0].tolist() == [1, 3, 0, 2]


@pytest.mark.parametrize(("bits", "codes"), [(8, 127), (4, 7)])
def test_lines_are_the_tensors_range_and_half_a_step_of_it(bits, codes):
    figure = one_site(weights(*CHANNELS, bits=bits), "stem")
    assert [shape.y0 for shape in figure.layout.shapes] == pytest.approx([1.0, 1.0 / codes / 2])


def test_channels_that_become_zero_are_counted():
    """Half a step of 5 at 8 bits is 0.0197: two channels and the dead one are below."""
    assert "3 of 4" in texts(one_site(RESULT, "stem", folded=True))


def test_site_without_batch_norm_is_drawn_as_it_is():
    assert one_site(RESULT, "fc", folded=True).data[0].y.tolist() == pytest.approx([0.3, 0.6])


@pytest.mark.parametrize(
    ("result", "site", "word"),
    [
        (RESULT, "elsewhere", "elsewhere"),
        (weights(), "stem", "No layer"),
        (weights(ChannelStatistics(site="dead", amax=(0.0,))), "dead", "zero"),
    ],
    ids=["unknown", "none", "zeros"],
)
def test_missing_weight_says_so(result, site, word):
    figure = one_site(result, site)
    assert not figure.data
    assert word in texts(figure)


def test_no_channels_say_so():
    assert "No layer" in texts(channels(weights()))


def test_accuracy_has_a_bar_for_each_row():
    figure = accuracy(RESULT)
    assert len(figure.data[0].x) == 4
    assert [text.replace("<br>", " ").strip() for text in figure.layout.xaxis.ticktext] == [
        "per-channel",
        "per-tensor",
        "per-channel BN folded",
        "per-tensor BN folded",
    ]


def test_nothing_measured_says_so():
    assert not accuracy(weights(rows=0)).data
