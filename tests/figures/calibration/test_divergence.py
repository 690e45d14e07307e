import re

import numpy as np
import pytest

from qanalysis.figures.calibration.divergence import divergence
from qanalysis.numerics.calibrate import DivergenceCurve, Entropy, kl_divergence_curve
from qanalysis.numerics.histogram import Histogram
from qanalysis.numerics.spec import QuantizerSpec
from tests.figures.factories import relu

CURVE = DivergenceCurve(
    thresholds=np.arange(4, 12, dtype=float), divergence=np.array([3.0, np.inf, 2.0, np.inf, np.inf, 0.5, 1.0, 1.5])
)


def named(figure, word):
    (shape,) = [shape for shape in figure.layout.shapes if word in (shape.name or "")]
    return [(float(a), float(b)) for a, b in re.findall(r"M([\d.]+),0V1H([\d.]+)V0Z", shape.path)]


def test_minimum_is_where_entropy_cuts():
    histogram = relu(outlier=4.5)
    marker = divergence(kl_divergence_curve(histogram), {}).data[-1]
    assert marker.x[0] == pytest.approx(Entropy()(histogram, QuantizerSpec()).amax, rel=1e-6)
    assert "minimum" in marker.name


def test_infinite_stretches_are_shaded():
    assert named(divergence(CURVE, {}), "infinite") == [(4.5, 5.5), (6.5, 8.5)]


def test_shading_is_in_the_legend():
    assert all(shape.showlegend for shape in divergence(CURVE, {}).layout.shapes)


def test_thresholds_below_the_first_candidate_are_shaded():
    assert named(divergence(CURVE, {}), "not searched") == [(0, 4)]


def test_infinite_points_are_gaps():
    assert np.isnan(divergence(CURVE, {}).data[0].y).tolist() == np.isinf(CURVE.divergence).tolist()


def test_points_alone_between_gaps_are_dots():
    assert divergence(CURVE, {}).data[1].x.tolist() == [4, 6]


def test_hundreds_of_stretches_are_one_shape():
    values = np.where(np.arange(2000) % 2, np.inf, 1.0)
    figure = divergence(DivergenceCurve(np.arange(128.0, 2128.0), values), {"max": 2000.0})
    assert len(figure.layout.shapes) == 3


def test_cutoffs_are_drawn():
    assert [
        re.sub("<[^>]*>", "", a.text) for a in divergence(CURVE, {"max": 11.0, "mse": None}).layout.annotations
    ] == ["max"]


def test_zero_divergence_can_be_drawn_on_any_scale():
    curve = DivergenceCurve(np.array([1.0, 2.0, 3.0]), np.array([0.0, -1e-16, 0.0]))
    figure = divergence(curve, {})
    assert np.isfinite(figure.layout.yaxis.range).all()
    assert (figure.layout.yaxis.type, figure.data[-1].name) == ("linear", "minimum: 0 nats at 2")


def test_linear_scale():
    assert divergence(CURVE, {}, log=False).layout.yaxis.range[0] == 0


def test_empty_curve_says_why():
    figure = divergence(DivergenceCurve(np.empty(0), np.empty(0)), {"max": 1.0})
    assert "128" in figure.layout.annotations[0].text


def test_all_zero_tensor_gives_the_explanation():
    figure = divergence(kl_divergence_curve(Histogram.of(np.zeros(4))), {"max": None})
    assert not figure.data
