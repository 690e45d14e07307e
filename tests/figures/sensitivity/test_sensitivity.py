import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.figures.sensitivity import fig3 as sensitivity
from qanalysis.figures.sensitivity.fig3 import bars, fig3, proxies
from qanalysis.figures.sensitivity.proxies import misjudged
from tests.figures import factories
from tests.figures.factories import sensitivity_row

MEASURES = ("divergence", "accuracy", "sqnr")


def texts(figure):
    return [annotation.text for annotation in figure.layout.annotations]


def drawn(figure):
    """Site → (position, trace, number in the trace)."""
    return {
        site: (trace.y[i], trace, i)
        for trace in figure.data
        for i, (site,) in enumerate(trace.customdata if trace.customdata is not None else ())
    }


def end(figure, site):
    _, trace, i = drawn(figure)[site]
    return trace.base + trace.x[i]


@pytest.mark.parametrize("shown", MEASURES)
def test_bars_are_in_the_order_given_from_the_top(shown):
    rows = [sensitivity_row("b", 75.0), sensitivity_row("a", 76.0), sensitivity_row("c", 74.0)]
    figure = bars(rows, fp32=76.0, shown=shown)
    assert sorted(drawn(figure), key=lambda site: drawn(figure)[site][0]) == ["b", "a", "c"]
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]


@pytest.mark.parametrize(("shown", "value"), [("divergence", 0.01), ("accuracy", -1.0), ("sqnr", 20.0)])
def test_bar_ends_at_the_measured_value(shown, value):
    assert end(bars([sensitivity_row("a", 75.0, 0.01)], fp32=76.0, shown=shown), "a") == pytest.approx(value)


@pytest.mark.parametrize("shown", MEASURES)
def test_more_harm_is_further_right(shown):
    figure = bars([sensitivity_row("a", 74.0, 0.1), sensitivity_row("b", 75.0, 0.001)], fp32=76.0, shown=shown)
    start, stop = figure.layout.xaxis.range
    assert (end(figure, "a") - end(figure, "b")) * (stop - start) > 0


def test_whiskers_are_the_interval():
    whiskers = drawn(bars([sensitivity_row("a", 75.0, 0.01)], fp32=76.0))["a"][1].error_x
    assert (whiskers.arrayminus[0], whiskers.array[0]) == pytest.approx((0.002, 0.002))


def test_no_divergence_lies_at_the_start_of_the_axis():
    figure = bars([sensitivity_row("a", divergence=0.1), sensitivity_row("b", divergence=0.0)], fp32=76.0)
    assert end(figure, "b") == pytest.approx(10 ** figure.layout.xaxis.range[0])
    assert "0" in texts(figure)


def test_unchanged_logits_are_named_where_sqnr_is_infinite():
    assert "unchanged" in texts(bars([sensitivity_row("a", divergence=0.0)], fp32=76.0, shown="sqnr"))


def test_row_without_measurable_loss_is_calmer_than_one_with():
    figure = bars([sensitivity_row("a", 75.0), sensitivity_row("b", 75.9)], fp32=76.0, shown="accuracy")
    loud, calm = (drawn(figure)[site][1] for site in ("a", "b"))
    assert loud.error_x.color != calm.error_x.color
    assert ["no measurable loss" in words for words in figure.data[0].hovertext] == [False, True]


def test_catastrophe_is_cut_with_its_value():
    rows = [sensitivity_row("a", 10.0), *(sensitivity_row(name, 75.8) for name in "bcd")]
    figure = bars(rows, fp32=76.0, shown="accuracy")
    assert "-66.0 ▶" in texts(figure)
    assert figure.layout.xaxis.range[1] > -10


@pytest.mark.parametrize("quantized", [75.5, 20.0])
def test_all_quantized_has_a_line_or_an_arrow(quantized):
    figure = bars([sensitivity_row("a", 75.5)], fp32=76.0, quantized=quantized, shown="accuracy")
    (words,) = [text for text in texts(figure) if "all quantized" in text]
    lines = [shape.x0 for shape in figure.layout.shapes if shape.type == "line"]
    assert lines == ([0, -0.5] if quantized == 75.5 else [0])
    assert words.endswith("▶") == (quantized == 20.0)


def test_sites_kept_in_floating_point_are_hatched():
    figure = bars(factories.sensitivity_rows(3), fp32=76.0, floats={"blocks.1.conv"})
    assert list(drawn(figure)["blocks.1.conv"][1].marker.pattern.shape) == ["", "/", ""]
    assert "kept in floating point" in figure.data[0].hovertext[1]


def test_only_groups_of_two_or_more_are_ties():
    rows = [sensitivity_row(name, tie=tie) for name, tie in (("a", 0), ("b", 1), ("c", 1), ("d", 2))]
    figure = bars(rows, fp32=76.0)
    (tie,) = [a for a in figure.layout.annotations if a.text == "tie"]
    assert tie.y == 1.5
    assert "2 layers" in tie.hovertext


@pytest.mark.parametrize(("mode", "words"), [("only", "only this layer"), ("without", "all layers but this one")])
def test_mode_is_said_on_the_axis_and_in_the_hover(mode, words):
    figure = bars(factories.sensitivity_rows(2), fp32=76.0, mode=mode)
    assert words in figure.layout.xaxis.title.text
    assert words in figure.data[0].hovertext[0]


def test_agreement_changes_the_words():
    figure = bars(factories.sensitivity_rows(2), fp32=100.0, metric="agreement", shown="accuracy")
    assert "agreement" in figure.layout.xaxis.title.text


def test_long_name_is_shortened_beside_the_bar_and_whole_in_the_hover():
    name = "encoder.layers.encoder_layer_12.self_attention.out_projection_of_everything"
    figure = bars([sensitivity_row(name)], fp32=76.0)
    assert len(figure.layout.yaxis.ticktext[0]) <= 34
    assert name in figure.data[0].hovertext[0]


@pytest.mark.parametrize(("count", "height"), [(1, 260), (22, 528), (500, 1800)])
def test_height_grows_with_the_rows(count, height):
    assert bars(factories.sensitivity_rows(count), fp32=76.0).layout.height == height


@pytest.mark.parametrize("shown", MEASURES)
def test_axis_stays_while_values_settle(shown):
    before = bars([sensitivity_row("a", 75.02, 0.041)], fp32=76.0, shown=shown)
    after = bars([sensitivity_row("a", 75.03, 0.0405)], fp32=76.0, shown=shown)
    assert before.layout.xaxis.range == after.layout.xaxis.range


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(1e-12, 50) | st.just(0.0)), min_size=1, max_size=8))
def test_every_bar_ends_within_the_axis(values):
    rows = [sensitivity_row(f"s{i}", accuracy, kl) for i, (accuracy, kl) in enumerate(values)]
    for shown in ("divergence", "accuracy"):
        figure = bars(rows, fp32=76.0, quantized=10.0, shown=shown)
        ends = [10**e if shown == "divergence" else e for e in figure.layout.xaxis.range]
        for row in rows:
            assert min(ends) - 1e-9 <= end(figure, row.site) <= max(ends) * (1 + 1e-9) + 1e-9


@pytest.mark.parametrize("shown", MEASURES)
def test_whole_row_can_be_pointed_at(shown):
    rows = bars(factories.sensitivity_rows(3), fp32=76.0, shown=shown)
    area = rows.data[0]
    assert list(area.customdata[2]) == ["blocks.2.conv"]
    assert {trace.hoverinfo for trace in rows.data[1:]} == {"skip"}
    ends = [10**e if shown == "divergence" else e for e in rows.layout.xaxis.range]
    assert area.base + area.x[0] == pytest.approx(ends[1])


@pytest.mark.parametrize("shown", MEASURES)
def test_no_rows_say_so(shown):
    assert "No layer" in texts(bars([], fp32=76.0, shown=shown))[0]


def test_fig3_has_one_point_per_layer_and_per_step():
    figure = fig3(factories.sensitivity(factories.sensitivity_rows(4), factories.partial(73.0, 75.0, 75.5, chosen=2)))
    single, steps = figure.data[:2]
    assert len(single.y) == 4
    assert list(steps.x) == [0, 1, 2]
    assert list(steps.y) == [73.0, 75.0, 75.5]
    assert "<b>skip 2 of 4</b>" in texts(figure)


def test_fig3_says_when_no_step_is_good_enough():
    figure = fig3(factories.sensitivity(factories.sensitivity_rows(4), factories.partial(73.0, 74.0)))
    assert any("no step" in text for text in texts(figure))


def test_fig3_of_many_layers_shows_the_first():
    result = factories.sensitivity(factories.sensitivity_rows(60), factories.partial(*[73.0] * 11))
    figure = fig3(result)
    assert figure.layout.xaxis.range[1] == pytest.approx(20.6)
    assert "first 20 of 60" in figure.layout.xaxis.title.text


def test_fig3_without_partial_quantization_has_one_curve():
    assert len(fig3(factories.sensitivity(factories.sensitivity_rows(3))).data) == 1


def test_fig3_of_nothing_says_so():
    assert not fig3(factories.sensitivity(())).data


def test_proxy_panels_say_how_well_they_rank():
    words = " ".join(texts(proxies(factories.sensitivity(factories.sensitivity_rows(5)))))
    assert "ranks alike: 1.00" in words
    assert "ranks: undefined" in words
    assert "no layer has this score" in words


def test_proxy_dots_are_at_measurement_and_score():
    rows = factories.sensitivity_rows(5)
    dots = proxies(factories.sensitivity(rows)).data[2]
    assert list(dots.x) == list(dots.y) == pytest.approx([row.divergence for row in rows])


def test_misjudged_layers_are_those_whose_rank_differs_most():
    assert misjudged([9, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7]) == [0]
    assert misjudged([1, 2, 3], [10, 20, 30]) == []


@pytest.mark.parametrize("count", [0, 1])
def test_proxies_of_nearly_nothing(count):
    figure = proxies(factories.sensitivity(factories.sensitivity_rows(count)))
    assert len(figure.data) == (3 if count else 0)


def test_without_proxies_it_says_so():
    assert not proxies(factories.sensitivity(factories.sensitivity_rows(2), proxies=False)).data


def test_names_on_the_page_are_those_of_the_module():
    assert set(sensitivity.HOW_TO_READ) == {"bars", "fig3", "proxies"}
