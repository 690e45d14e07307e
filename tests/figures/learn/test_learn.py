"""The figures of the lessons: what holds for all, and what each one shows."""

import json

import numpy as np
import pytest
from scipy.special import erf

from qanalysis.figures.learn import (
    affine,
    calibration,
    entropy,
    fake,
    folding,
    gelu,
    granularity,
    mapping,
    minima,
    tables,
)
from qanalysis.figures.learn.tables import Line
from qanalysis.figures.look.theme import PALETTES, calibration_colour
from qanalysis.numerics.affine import operations
from qanalysis.numerics.calibrate import kl_divergence_curve
from qanalysis.numerics.candidate import candidate
from qanalysis.numerics.minima import TwoMinima, descent
from qanalysis.numerics.spec import QuantizerSpec, Range
from qanalysis.ui.learn.calibration import errors
from tests.figures import factories
from tests.figures.look.test_theme import contrast

HISTOGRAM = factories.relu(6.0)
LOSS = TwoMinima()
WEIGHT = np.array([[1.0, 0.004], [-0.5, 0.002]])
CUTOFFS = {"max": 6.0, "entropy": 3.0}
ROW = Line("a", 80.0, {"max": 79.0, "entropy": 10.0}, {}, ringed=frozenset({"max"}))
OWN = Line("mine", 90.0, {"max": 89.0}, {}, own=True)

FIGURES = {
    "mapping.mapping": lambda theme: mapping.mapping(QuantizerSpec(4, "affine"), Range(-1, 2), 0.7, theme=theme),
    "granularity.matrices": lambda theme: granularity.matrices(WEIGHT, 8, theme=theme),
    "affine.costs": lambda theme: affine.costs(operations(4, 8, 16), theme=theme),
    "calibration.tradeoff": lambda theme: calibration.tradeoff(
        HISTOGRAM, CUTOFFS, errors(HISTOGRAM, QuantizerSpec(4)), 2.0, theme=theme
    ),
    "entropy.step": lambda theme: entropy.step(
        candidate(HISTOGRAM, 900, 4), kl_divergence_curve(HISTOGRAM, 4), 6.0, CUTOFFS, theme=theme
    ),
    "fake.passes": lambda theme: fake.passes(QuantizerSpec(3), Range(-3, 3), 1.3, theme=theme),
    "minima.descents": lambda theme: minima.descents(
        LOSS, *(descent(LOSS, -0.95, 0.05, 5, aware=aware) for aware in (False, True)), theme=theme
    ),
    "gelu.near_zero": lambda theme: gelu.near_zero("GELU", 10.0, 8, theme=theme),
    "folding.codes_left": lambda theme: folding.codes_left((255, 200), (255, 3), 255, theme=theme),
    "tables.table": lambda theme: tables.table(("max", "entropy"), [OWN, ROW], theme=theme),
}


@pytest.fixture(scope="module", params=[(name, theme) for name in FIGURES for theme in ("light", "dark")], ids="-".join)
def figure(request):
    name, theme = request.param
    return FIGURES[name](theme)


def texts(figure):
    return " ".join(annotation.text for annotation in figure.layout.annotations)


def trace(figure, name):
    """The trace of a name; where it has an entry of the legend of its own, the one that is drawn."""
    named = [t for t in figure.data if t.name and t.name.startswith(name)]
    (found,) = [t for t in named if len(named) == 1 or t.x[0] is not None]
    return found


def test_sits_on_the_pages_background_with_a_height_and_no_title(figure):
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert figure.layout.title.text is None
    assert 200 <= figure.layout.height <= 700


def test_everything_has_a_colour(figure):
    """What has none is black, and vanishes on a dark page."""
    assert all(shape.line.color or (shape.fillcolor and shape.line.width == 0) for shape in figure.layout.shapes)
    assert all(annotation.font.color for annotation in figure.layout.annotations)


def test_words_are_large(figure):
    assert figure.layout.font.size >= 16
    assert all(annotation.font.size >= 13 for annotation in figure.layout.annotations)


def test_is_json(figure):
    assert json.loads(figure.to_json())["layout"]["height"] == figure.layout.height


@pytest.mark.parametrize("name", FIGURES)
def test_says_how_to_read_it(name):
    module, function = name.split(".")
    words = globals()[module].HOW_TO_READ[function]
    assert words.endswith(".")
    assert 60 < len(words) < 400


class TestMapping:
    def test_names_the_codes_at_the_ends_and_of_the_value(self):
        words = texts(mapping.mapping(QuantizerSpec(8, "affine"), Range(-1.0, 1.55), 0.004))
        assert "-128" in words
        assert "127" in words
        assert "code of 0: -28" in words  # -round(-1 * 100) - 128
        assert "code -28" in words

    def test_a_value_outside_comes_back_at_the_end(self):
        figure = mapping.mapping(QuantizerSpec(3), Range(-3, 3), 9.0)
        way = figure.data[3]
        assert list(way.x) == [9.0, 3.0, 3.0]
        assert figure.layout.xaxis.range[1] > 9

    @pytest.mark.parametrize(("bits", "strips"), [(8, 0), (3, 1)])
    def test_strips_are_drawn_where_they_can_be_seen(self, bits, strips):
        figure = mapping.mapping(QuantizerSpec(bits), Range(-1, 1), 0.0)
        assert sum(shape.type == "path" for shape in figure.layout.shapes) == strips


def test_a_small_column_is_lost_per_tensor_and_kept_per_channel():
    words = texts(granularity.matrices(WEIGHT, 8))
    assert "0.00394<br>(1)" not in words
    assert "0<br>(0)" in words  # 0.002 of 1: half of a quarter step
    assert "0.004<br>(127)" in words


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("shade", np.linspace(0, 1, 8))
def test_words_stand_out_from_their_cell(theme, shade):
    colour = PALETTES[theme].scale[round(shade * 7)]
    assert contrast(granularity._ink(shade, theme), colour) > 3


def test_costs_say_what_zero_points_add():
    assert "+111 % at every inference" in texts(affine.costs(operations(3136, 9, 1)))


class TestTradeoff:
    def test_the_mark_lies_on_the_curve(self):
        found = errors(HISTOGRAM, QuantizerSpec(4))
        figure = calibration.tradeoff(HISTOGRAM, CUTOFFS, found, float(found.cutoffs[40]))
        assert figure.data[4].y[0] == pytest.approx(found.total[40])

    def test_coincident_cutoffs_share_a_line(self):
        figure = calibration.tradeoff(HISTOGRAM, {"max": 6.0, "entropy": 6.0}, errors(HISTOGRAM, QuantizerSpec(4)), 2.0)
        assert trace(figure, "max = entropy").line.color == calibration_colour("max", "light")


class TestStep:
    def test_an_infinite_divergence_is_marked_at_the_top(self):
        outlier = factories.relu(40.0)
        curve = kl_divergence_curve(outlier, 4)
        empty = int(np.flatnonzero(~np.isfinite(curve.divergence))[0])
        figure = entropy.step(candidate(outlier, 128 + empty, 4), curve, 40.0, {})
        mark = trace(figure, "yours: infinite")
        assert mark.marker.symbol == "triangle-up"
        assert mark.y[0] == np.nanmax(curve.divergence[np.isfinite(curve.divergence)])

    def test_the_ring_is_at_the_lowest_point(self):
        curve = kl_divergence_curve(HISTOGRAM, 4)
        figure = entropy.step(candidate(HISTOGRAM, 900, 4), curve, 6.0, {})
        assert trace(figure, "lowest").x[0] == curve.best


class TestPasses:
    @pytest.mark.parametrize(("value", "back", "gradient"), [(1.3, 1.0, 1), (9.0, 3.0, 0), (-3.0, -3.0, 1)])
    def test_point(self, value, back, gradient):
        figure = fake.passes(QuantizerSpec(3), Range(-3, 3), value)
        assert figure.data[2].y[0] == pytest.approx(back)
        assert figure.data[-1].y[0] == gradient

    def test_three_bits_have_seven_steps(self):
        stairs = trace(fake.passes(QuantizerSpec(3), Range(-3, 3), 0.0), "fake-quantized")
        assert len(set(stairs.y)) == 7


def test_frames_move_both_weights_and_their_squares():
    plain, aware = (descent(LOSS, -0.95, 0.05, 5, aware=kind) for kind in (False, True))
    figure = minima.descents(LOSS, plain, aware)
    frames = figure.layout.meta["frames"]
    assert {len(steps) for steps in (*frames["x"], *frames["y"])} == {6}
    for i in range(6):
        assert [steps[i] for steps in frames["x"]] == [
            part for w in (plain[i], aware[i]) for part in ([w, round(w)], [w], [round(w)])
        ]
        assert frames["y"][4][i] == [pytest.approx(float(LOSS(aware[i])))]
    for place, x, y in zip(frames["traces"], frames["x"], frames["y"], strict=True):
        assert list(figure.data[place].x) == x[0]
        assert list(figure.data[place].y) == y[0]


@pytest.mark.parametrize(("end", "left"), [(50, 0), (10, 2), (43.1, 1), (43.3, 0)])
def test_gelu_keeps_the_negative_codes_of_fig_7(end, left):
    words = texts(gelu.near_zero("GELU", end, 8))
    assert ("no negative value" in words) == (left == 0)
    assert (f"{left} negative code" in words) == (left > 0)


def test_gelu_is_drawn():
    drawn = trace(gelu.near_zero("GELU", 10, 8), "GELU")
    np.testing.assert_allclose(drawn.y, drawn.x / 2 * (1 + erf(np.asarray(drawn.x) / np.sqrt(2))), atol=1e-12)


class TestTable:
    def test_changes_are_relative_to_fp32_and_far_ones_are_cut_with_their_value(self):
        figure = tables.table(("max", "entropy"), [ROW])
        assert figure.data[0].x[0] == pytest.approx(-1.25)
        assert trace(figure, "entropy").marker.symbol == ("triangle-left",)
        assert "-88" in texts(figure)

    def test_the_whole_scale_shows_them_in_place(self):
        figure = tables.table(("max", "entropy"), [ROW], whole=True)
        assert trace(figure, "entropy").x[0] == pytest.approx(-87.5)

    def test_accuracies(self):
        figure = tables.table(("max", "entropy"), [ROW], shown="accuracy")
        assert trace(figure, "max").x[0] == 79
        assert trace(figure, "fp32").x[0] == 80

    def test_errata_are_ringed(self):
        rings = [t for t in tables.table(("max",), [ROW, OWN]).data if t.marker.symbol == "circle-open"]
        assert [list(ring.y) for ring in rings] == [[0]]

    def test_the_readers_row_stands_out(self):
        figure = tables.table(("max", "entropy"), [OWN, ROW])
        assert figure.layout.yaxis.ticktext[0] == "<b>▶ mine</b>"
        assert list(trace(figure, "entropy").y) == [1]

    def test_calibrations_have_their_colours(self):
        figure = tables.table(("max", "entropy"), [ROW], theme="dark")
        for name in ("max", "entropy"):
            assert trace(figure, name).marker.color == (calibration_colour(name, "dark"),)

    def test_the_legend_has_the_columns_mark_even_where_the_first_row_is_cut(self):
        figure = tables.table(("entropy",), [ROW])
        (key,) = [t for t in figure.data if t.showlegend is not False]
        assert key.marker.symbol == "circle"

    def test_no_rows_are_a_sentence(self):
        assert "no rows" in texts(tables.table(("max",), []))
