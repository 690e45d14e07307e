import pytest

from qanalysis.figures.model import NAMED, macs
from qanalysis.schema.site import Coverage
from tests.figures.factories import COVERAGE, site


def test_a_trace_for_each_kind_with_depthwise_apart():
    assert [trace.name for trace in macs(COVERAGE).data] == ["convolution", "depthwise convolution", "linear"]


def test_bars_are_in_the_order_of_execution():
    assert [trace.x for trace in macs(COVERAGE).data] == [(1,), (2,), (3,)]
    assert list(macs(COVERAGE).layout.xaxis.ticktext) == ["stem", "block.depthwise", "fc"]


@pytest.mark.parametrize(
    ("largest", "unit", "height"),
    [
        (3_000_000_000, "billion", 3),
        (2_500_000, "million", 2.5),
        (7_000, "thousand", 7),
        (12, "count", 12),
        (0, "count", 0),
    ],
)
def test_unit_follows_the_largest(largest, unit, height):
    figure = macs(Coverage(sites=(site("a", largest),)))
    assert unit in figure.layout.yaxis.title.text
    assert figure.data[0].y[0] == height


def test_hover_has_exact_numbers_and_share():
    hover = macs(COVERAGE).data[0].hovertext[0]
    assert "3,000,000 MACs" in hover
    assert "85.7 %" in hover


def test_kept_sites_are_outlined():
    outline = macs(COVERAGE, kept=["fc"]).data[-1]
    assert (outline.name, outline.x) == ("stays in floating point", (3,))
    assert outline.marker.line.width > 0


def test_names_give_way_to_numbers_in_a_deep_model():
    sites = tuple(site(f"layer{i}", 5) for i in range(NAMED + 1))
    assert macs(Coverage(sites=sites)).layout.xaxis.ticktext is None


def test_model_without_sites_says_so():
    assert not macs(Coverage(sites=())).data
