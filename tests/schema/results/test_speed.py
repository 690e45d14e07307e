"""The speed model is exact at its ends, additive between, and charges boundaries; the front is what it says."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.schema.results.speed import Edge, SiteSpeed, SpeedModel, fitted_boundary, pareto_front

CHAIN = ("a", "b", "c", "d")


def model(boundary: float = 0.0, scale: float = 1.0) -> SpeedModel:
    """A chain of four sites; layers sum to 4 and 12 ms, measured are 4.5 and 13 ms."""
    sites = []
    for number, site in enumerate(CHAIN):
        sources = () if number == 0 else (CHAIN[number - 1],)
        edge = Edge(sources=sources, megabytes=1.0 + number)
        sites.append(SiteSpeed(site=site, int8_ms=1.0 * scale, float_ms=(number + 1.5) * scale, inputs=(edge,)))
    return SpeedModel(
        engine="openvino",
        batch=1,
        threads=1,
        sites=tuple(sites),
        int8_ms=4.5,
        float_ms=13.0,
        boundary_ms_per_mb=boundary,
    )


@pytest.mark.parametrize("boundary", [0.0, 0.5])
def test_both_ends_are_what_was_measured(boundary):
    assert model(boundary).predict(()) == 4.5
    assert model(boundary).predict(CHAIN) == pytest.approx(13.0)


def test_layers_add_up_scaled_to_the_ends():
    """By hand: b and c gain 1.5 and 2.5 of 8 ms by their layers; the ends are 8.5 ms apart."""
    assert model().predict(("b", "c")) == pytest.approx(4.5 + 8.5 * 4 / 8)


def test_the_unit_of_the_layers_does_not_matter():
    assert model(scale=3.0).predict(("a", "d")) == pytest.approx(model().predict(("a", "d")))


def test_every_tensor_that_changes_precision_is_charged_once():
    """With b alone in fp32, b reads a's int8 output (2 MB) and c reads b's (3 MB)."""
    assert model().boundary_megabytes(("b",)) == 5.0
    assert model().boundary_megabytes(("a",)) == 2.0
    assert model().boundary_megabytes(("c", "d")) == 3.0
    assert model(0.1).predict(("b",)) == pytest.approx(model().predict(("b",)) + 0.5)


def test_sites_that_the_plan_never_had_in_int8_change_nothing():
    assert model().predict(("x",)) == 4.5


def test_the_cost_of_boundaries_is_found_again():
    truth = model(0.25)
    mixes = [("b",), ("a", "c"), ("d",)]
    assert fitted_boundary(model(), [(mix, truth.predict(mix)) for mix in mixes]) == pytest.approx(0.25)


def test_a_cost_is_never_negative():
    assert fitted_boundary(model(), [(("b",), 0.1)]) == 0.0


def test_without_a_boundary_there_is_nothing_to_fit():
    assert fitted_boundary(model(), [((), 4.5)]) == 0.0


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=12))
def test_the_front_is_what_nothing_dominates(points):
    items = [(number, float(latency), float(accuracy)) for number, (latency, accuracy) in enumerate(points)]
    front = pareto_front(items)
    for number, latency, accuracy in items:
        dominated = any((t <= latency and a >= accuracy) and (t < latency or a > accuracy) for _, t, a in items)
        if number in front:
            assert not dominated
        elif not dominated:  # an equal point stands for it
            assert any(items[other][1:] == (latency, accuracy) for other in front)
    latencies = [items[number][1] for number in front]
    assert latencies == sorted(latencies)
    assert all(items[x][2] < items[y][2] for x, y in itertools.pairwise(front))
