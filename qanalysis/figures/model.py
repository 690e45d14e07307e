"""Where the work of a model is: multiply-accumulates of its sites."""

from collections.abc import Collection

import plotly.graph_objects as go

from qanalysis.figures.look.labels import shortened
from qanalysis.figures.look.theme import (
    CLEAR,
    PALETTES,
    Theme,
    axis,
    blank,
    kind_colour,
    kind_pattern,
    layout,
    precision_colour,
)
from qanalysis.schema.site import Coverage, Site

HOW_TO_READ = {
    "macs": (
        "One bar per layer in the order of execution: how many multiply-accumulate operations it needs for one input. "
        "Int8 makes these operations cheaper, so the tall bars are where quantization pays."
    ),
}

#: Most sites whose names are written under the bars.
NAMED = 32


def macs(coverage: Coverage, *, theme: Theme = "light", kept: Collection[str] = ()) -> go.Figure:
    """Multiply-accumulates of every site for one sample, in the order of execution, coloured by kind.

    Args:
        coverage: the sites.
        theme: light or dark.
        kept: names of the sites that stay in floating point: they are outlined.
    """
    sites = coverage.sites
    if not sites:
        return blank("The model executes no operation that can be quantized.", theme)
    palette = PALETTES[theme]
    scale, unit = _unit(max(site.macs for site in sites))
    total = max(coverage.macs, 1)
    traces = []
    for kind in dict.fromkeys(kind_of(site) for site in sites):
        members = [(i, site) for i, site in enumerate(sites, 1) if kind_of(site) == kind]
        traces.append(
            {
                "type": "bar",
                "name": kind,
                "x": [i for i, _ in members],
                "y": [site.macs / scale for _, site in members],
                "width": 0.8,
                "marker": {
                    "color": kind_colour(kind, theme),
                    "pattern": {
                        "shape": kind_pattern(kind),
                        "size": 5,
                        "solidity": 0.25,
                        "fillmode": "overlay",
                        "fgcolor": palette.page,
                    },
                    "line": {"width": 0},
                },
                "hovertext": [
                    f"{site.name}<br>{kind}<br>{site.macs:,} MACs, {100 * site.macs / total:.3g} % of all"
                    + ("<br>stays in floating point" if site.name in kept else "")
                    for _, site in members
                ],
                "hoverinfo": "text",
                "showlegend": True,
            }
        )
    outlined = [(i, site) for i, site in enumerate(sites, 1) if site.name in kept]
    if outlined:
        traces.append(
            {
                "type": "bar",
                "name": "stays in floating point",
                "x": [i for i, _ in outlined],
                "y": [site.macs / scale for _, site in outlined],
                "width": 0.8,
                "marker": {"color": CLEAR, "line": {"color": precision_colour("float-kept", theme), "width": 3}},
                "hoverinfo": "skip",
                "showlegend": True,
            }
        )
    named = len(sites) <= NAMED
    labels = [shortened(site.name, 22) for site in sites]
    ticks = (
        {"tickvals": list(range(1, len(sites) + 1)), "ticktext": labels, "tickangle": -60} if named else {"nticks": 20}
    )
    return go.Figure(
        {
            "data": traces,
            "layout": layout(
                theme,
                height=300 + (round(6 * max(len(label) for label in labels)) if named else 0),
                margin={"t": 36, "b": 28 + (round(6 * max(len(label) for label in labels)) if named else 24)},
                barmode="overlay",
                xaxis=axis(
                    theme,
                    "" if named else "layers in the order of execution",
                    range=[0.3, len(sites) + 0.7],
                    showgrid=False,
                    **ticks,
                ),
                yaxis=axis(
                    theme,
                    f"MACs per input ({unit})",
                    range=[0, 1.06 * max(max(site.macs for site in sites), 1) / scale],
                ),
            ),
        }
    )


def kind_of(site: Site) -> str:
    """Kind of a site's operation, depthwise convolutions apart: they are the ones that int8 finds hard."""
    return "depthwise convolution" if site.depthwise else site.kind


def _unit(largest: int) -> tuple[float, str]:
    for scale, unit in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if largest >= scale:
            return scale, unit
    return 1.0, "count"
