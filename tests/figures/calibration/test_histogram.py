import re

import numpy as np
import plotly.graph_objects as go
import pytest

from qanalysis.figures.calibration.histogram import BARS, activation, drawn_bins
from qanalysis.numerics.histogram import Histogram
from tests.figures.factories import relu, signed

CUTOFFS = {"max": 30.0, "percentile:99.9": 3.2, "mse": None}


def starts(shape):
    """Where the parts of a path begin on the axis."""
    return [float(x) for x in re.findall(r"M(-?[\d.e+-]+),", shape.path)]


def labels(figure):
    return [re.sub("<[^>]*>", "", annotation.text) for annotation in figure.layout.annotations]


@pytest.mark.parametrize("folded", [False, True], ids=["signed", "magnitudes"])
@pytest.mark.parametrize(
    "histogram", [relu(), signed(), Histogram.of(np.array([-5.0, -4.9]))], ids=["relu", "laplace", "negative"]
)
def test_bars_hold_every_value_once(histogram, folded):
    _, counts, _ = drawn_bins(histogram, signed=not folded)
    assert counts.sum() == histogram.total


@pytest.mark.parametrize("limit", [BARS, 100, 1])
def test_bars_are_at_most_the_limit(limit):
    edges, _, width = drawn_bins(relu(), signed=False, limit=limit)
    assert round((edges[-1] - edges[0]) / width) + 1 <= limit


def test_bars_are_not_coarser_than_needed():
    histogram = relu()
    edges, _, width = drawn_bins(histogram, signed=False)
    assert (edges[-1] - edges[0]) / (width - histogram.width) + 1 > BARS


def test_no_bar_reaches_across_zero():
    edges, _, width = drawn_bins(signed(), signed=True)
    assert not ((edges < 0) & (edges + width > 0)).any()


def test_bars_agree_with_the_values():
    values = np.random.default_rng(2).normal(size=5000)
    edges, counts, width = drawn_bins(Histogram.of(values), signed=True)
    expected = [((values >= edge) & (values < edge + width)).sum() for edge in edges]
    assert counts.tolist() == expected


def test_log_axis_gets_no_empty_bar():
    figure = activation(relu(), CUTOFFS)
    assert figure.layout.yaxis.type == "log"
    assert min(figure.data[0].y) >= 1
    assert np.isfinite(figure.layout.yaxis.range).all()


def test_linear_axis_begins_at_zero():
    figure = activation(relu(), CUTOFFS, log=False)
    assert (figure.layout.yaxis.type, figure.layout.yaxis.range[0]) == ("linear", 0)


def test_single_count_is_visible_on_the_log_axis():
    assert activation(relu(), CUTOFFS).layout.yaxis.range[0] < np.log10(1)


def test_every_cutoff_but_none_is_labelled():
    assert labels(activation(relu(), CUTOFFS)) == ["max", "99.9 %"]


def test_lines_stand_at_the_cutoffs():
    assert [starts(shape) for shape in activation(relu(), CUTOFFS).layout.shapes] == [[30.0], [3.2]]


def test_signed_activation_is_cut_on_both_sides():
    figure = activation(signed(), {"percentile:99.9": 3.0})
    assert starts(figure.layout.shapes[0]) == [3.0, -3.0]


def test_signed_activation_can_be_folded():
    figure = activation(signed(), {"percentile:99.9": 3.0}, signed=False)
    assert starts(figure.layout.shapes[0]) == [3.0]
    assert figure.data[0].x.min() > 0


def test_cutoffs_of_a_negative_activation_are_on_the_axis():
    figure = activation(Histogram.of(np.linspace(-10, 1, 500)), {"max": 10.0})
    low, high = figure.layout.xaxis.range
    assert low <= -10
    assert high >= 10


def test_custom_cutoff_shades_what_it_clips():
    figure = activation(relu(), CUTOFFS, custom=5.0)
    shade = figure.layout.shapes[0]
    assert starts(shade) == [5.0]
    assert float(re.search(r"H([\d.]+)", shade.path)[1]) == pytest.approx(figure.layout.xaxis.range[1])
    assert labels(figure)[-1] == "custom 5"


def test_custom_cutoff_of_a_signed_activation_shades_both_tails():
    figure = activation(signed(), {}, custom=2.0)
    assert starts(figure.layout.shapes[0])[0] == 2.0
    assert "H-2V0" in figure.layout.shapes[0].path


def test_custom_cutoff_at_the_end_shades_nothing_but_air():
    figure = activation(relu(), {}, custom=40.0)
    assert figure.layout.xaxis.range[1] > 40


def test_few_values_are_drawn_wide_enough_to_see():
    figure = activation(Histogram.of(np.array([0.7])), {"max": 0.7})
    assert figure.data[0].width >= figure.layout.xaxis.range[1] / 100


def test_all_zero_activation_says_so():
    figure = activation(Histogram.of(np.zeros(3)), {"max": None})
    assert not figure.data
    assert "zero" in figure.layout.annotations[0].text


def test_zoom_is_kept_under_the_callers_key():
    assert activation(relu(), {}, uirevision="a").layout.uirevision == "a"


def test_vertical_zoom_is_dropped_with_the_scale():
    log, linear = (activation(relu(), {}, log=log).layout.yaxis.uirevision for log in (True, False))
    assert log != linear


def test_figure_is_light_to_build_and_send():
    """A shape or annotation costs a quarter of a millisecond, and a slider sends the whole figure at every step."""
    cutoffs = {f"percentile:{99 + i / 10}": 2 + i / 10 for i in range(7)}
    figure = activation(signed(), cutoffs, custom=2.0)
    assert len(figure.layout.shapes) == 7 + 2
    assert len(figure.layout.annotations) == 7 + 1
    assert len(figure.to_json()) < 30_000
    assert isinstance(figure, go.Figure)


def test_an_affine_range_ends_where_it_ends():
    figure = activation(signed(), {"trained": 3.0}, lows={"trained": -0.5})
    assert [starts(shape) for shape in figure.layout.shapes] == [[3.0, -0.5]]
