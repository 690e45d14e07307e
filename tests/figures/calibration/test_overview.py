import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.figures.calibration.overview import heatmap, ratio, sqnr
from qanalysis.figures.look.labels import NAME, shortened
from qanalysis.numerics.calibrate import clipped_at
from qanalysis.numerics.error import quantization_error
from qanalysis.numerics.spec import QuantizerSpec
from qanalysis.schema.observations import Observations
from qanalysis.schema.site import TensorId
from tests.figures.factories import COVERAGE, calibrated, relu, signed

MAXIMA = {"stem": 10.0, "fc": 4.0, "dead": 0.0}
RANGES = {"max": {"stem": 10.0, "fc": 4.0, "dead": None}, "entropy": {"stem": 1.0, "fc": 2.0, "dead": None}}


def test_rows_are_activations_in_the_order_of_execution():
    figure = ratio(RANGES, MAXIMA)
    assert list(figure.layout.yaxis.ticktext) == ["stem", "fc", "dead"]
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]


def test_cells_are_the_logarithm_of_cutoff_over_maximum():
    z = np.asarray(ratio(RANGES, MAXIMA).data[0].z)
    np.testing.assert_allclose(z, [[0, 1], [0, np.log10(2)], [np.nan, np.nan]], rtol=1e-6)


def test_colour_scale_is_labelled_with_ratios():
    bar = ratio(RANGES, MAXIMA).data[0].colorbar
    np.testing.assert_allclose([10**-value for value in bar.tickvals], [float(text) for text in bar.ticktext])


def test_small_differences_look_small():
    trace = ratio({"mse": {"fc": 3.9}}, {"fc": 4.0}).data[0]
    assert trace.z[0][0] < 0.05 * trace.zmax


def test_hover_has_the_full_values():
    assert ratio(RANGES, MAXIMA).data[0].hovertext[1][1] == "fc<br>entropy: cut at 2, 50 % of the largest value 4"


def test_empty_cell_is_explained():
    assert "all values are zero" in ratio(RANGES, MAXIMA).data[0].hovertext[2][0]


def test_clicked_cell_carries_its_activation():
    assert ratio(RANGES, MAXIMA).data[0].customdata[1][0] == "fc"


def test_selected_row_is_outlined():
    (box,) = ratio(RANGES, MAXIMA, selected="fc").layout.shapes
    assert (box.y0, box.y1) == (0.5, 1.5)


def test_height_grows_with_the_rows():
    heights = [
        ratio({"max": maxima}, maxima).layout.height for maxima in ({f"{i}": 1.0 for i in range(n)} for n in (8, 30))
    ]
    assert heights[1] - heights[0] >= 22 * 16


def test_margin_grows_with_the_names():
    short, long = (ratio({"max": {name: 1.0}}, {name: 1.0}).layout.margin.l for name in ("fc", "encoder.fc.projection"))
    assert short < long


def test_sqnr_is_louder_where_it_is_lower():
    z = np.asarray(sqnr({"max": {"a": 10.0, "b": 40.0}}).data[0].z)
    assert z[0, 0] > z[1, 0]


def test_infinite_sqnr_is_no_error():
    trace = sqnr({"max": {"a": 10.0, "b": float("inf"), "c": None}}).data[0]
    assert [row[0] for row in trace.text] == ["10", "no error", ""]
    assert np.isfinite(trace.z[1][0])


@pytest.mark.parametrize("quantity", ["ratio", "sqnr"])
def test_heatmap_of_a_result(quantity):
    histograms = {TensorId("stem", "input"): relu(), TensorId("product", "left"): signed()}
    result = calibrated({"custom": {"stem": 3.0, "product/left": 2.0}})
    figure = heatmap(Observations(histograms, COVERAGE, 4), result, quantity=quantity)
    expected = {
        "ratio": [np.log10(30.0 / 3.0), np.log10(signed().amax / 2.0)],
        "sqnr": [
            -quantization_error(h, clipped_at(cut, h, QuantizerSpec()), QuantizerSpec()).sqnr
            for h, cut in ((relu(), 3.0), (signed(), 2.0))
        ],
    }[quantity]
    np.testing.assert_allclose(np.asarray(figure.data[0].z)[:, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("figure", [ratio({}, {}), ratio({"max": {}}, {}), sqnr({})], ids=["none", "no rows", "sqnr"])
def test_nothing_observed_says_so(figure):
    assert not figure.data
    assert "calibration" in figure.layout.annotations[0].text


@given(st.text("abc.:_019", max_size=80))
def test_shortened_name_fits(name):
    assert len(shortened(name)) <= NAME


def test_short_name_is_kept():
    assert shortened("layer1.0.conv2") == "layer1.0.conv2"


def test_shortened_names_of_blocks_stay_apart():
    names = [
        f"encoder.layers.encoder_layer_{i}.self_attention.projection:matmul_{j}" for i in range(24) for j in (0, 1)
    ]
    assert len({shortened(name) for name in names}) == len(names)
