"""Proxies: cheap scores against the measured divergence, to see when other tools' orders mislead."""

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from qanalysis.figures.look.labels import beside, beside_points, shortened
from qanalysis.figures.look.theme import PALETTES, Theme, annotation, axis, blank, faded, layout, line, precision_colour
from qanalysis.figures.sensitivity.scales import decades
from qanalysis.insight.words import divergence_column
from qanalysis.schema.results.sensitivity import Proxy, ProxyName, SensitivityResult

#: Dots named in a panel, and the least difference of ranks for it, as a share of the number of layers.
NAMED, MISJUDGED = 2, 0.2

#: Height of the figure and of what is above and below its panels, space between them as a share of its width.
HEIGHT, TOP, BOTTOM, GAP = 340, 52, 56, 0.13

#: Narrowest panel, in px.
_NARROWEST = 150

_TITLES: dict[ProxyName, str] = {
    "output-sqnr": "SQNR of the layer's output",
    "weight-mse": "rounding error of the weight",
    "fisher": "Fisher information",
}
_UNITS: dict[ProxyName, str] = {"output-sqnr": "dB, worse upwards", "weight-mse": "share of power", "fisher": ""}
_WORDS = ((0.9, "ranks alike"), (0.7, "ranks mostly alike"), (0.4, "ranks loosely alike"), (-0.4, "ranks unlike"))


def proxies(result: SensitivityResult, *, theme: Theme = "light") -> go.Figure:
    """Each proxy's score against the measured divergence of every site, side by side, harm to the right and upwards.

    The title says how well the order agrees (Spearman's rank correlation); the layers whose rank differs most are
    named. The Fisher score estimates the divergence itself, so its panel has the line on which both are equal.
    """
    measured = {row.site: row.divergence for row in result.rows}
    if not measured or not result.proxies:
        return blank("No cheap scores were computed beside the measurement.", theme, HEIGHT)
    count = len(result.proxies)
    wide = (1 - GAP * (count - 1)) / count
    x_range = [math.log10(end) for end in decades(list(measured.values()))]
    palette = PALETTES[theme]
    figure: dict[str, Any] = {"data": [], "annotations": [], "shapes": [], "axes": {}}
    for i, proxy in enumerate(result.proxies):
        number = "" if i == 0 else str(i + 1)
        domain = [i * (wide + GAP), min(1.0, i * (wide + GAP) + wide)]
        _draw(figure, proxy, measured, x_range, number, theme)
        x_axis = axis(
            theme, f"measured {divergence_column(result.words)}", type="log", range=x_range, **_powers(x_range)
        )
        figure["axes"][f"xaxis{number}"] = x_axis | {"domain": domain, "anchor": f"y{number}", "tickangle": 0}
        heading = {"x": domain[0], "xref": "paper", "xanchor": "left", "y": 1, "yref": "paper", "yanchor": "bottom"}
        title = f"<b>{_TITLES[proxy.name]}</b><br>{_agreement(proxy.correlation_divergence)}"
        figure["annotations"].append(annotation(title, palette.text, yshift=8, align="left", **heading))
    margins = {"t": TOP, "b": BOTTOM, "l": 60, "r": 12}
    parts = {key: figure[key] for key in ("annotations", "shapes")}
    return go.Figure(
        {"data": figure["data"], "layout": layout(theme, height=HEIGHT, margin=margins, **parts, **figure["axes"])}
    )


def misjudged(scores: Sequence[float], truth: Sequence[float]) -> list[int]:
    """Numbers of the layers whose rank by score and by truth differ most, at most `NAMED`."""
    ranks = [{i: rank for rank, i in enumerate(sorted(range(len(v)), key=v.__getitem__))} for v in (scores, truth)]
    off = {i: abs(ranks[0][i] - ranks[1][i]) for i in range(len(truth))}
    worst = sorted(off, key=lambda i: -off[i])[:NAMED]
    return [i for i in worst if off[i] >= max(2, MISJUDGED * len(truth))]


def _draw(
    figure: dict[str, Any], proxy: Proxy, measured: dict[str, float], x_range: list[float], number: str, theme: Theme
) -> None:
    palette = PALETTES[theme]
    axes = {"xref": f"x{number}", "yref": f"y{number}"}
    known = [(site, score) for site, score in proxy.values.items() if score is not None and site in measured]
    sites, scores = [site for site, _ in known], [score for _, score in known]
    kl = [max(measured[site], 10 ** x_range[0]) for site in sites]
    decibels = proxy.name == "output-sqnr"
    if decibels:
        low, high = min(scores, default=0.0), max(scores, default=40.0)
        air = max(0.08 * (high - low), 2.0)
        y_range, kind = [high + air, low - air], "linear"
        drawn = scores
    else:
        y_range, kind = [math.log10(end) for end in decades(scores)], "log"
        drawn = [max(score, 10 ** y_range[0]) for score in scores]
    along = [value if decibels else math.log10(value) for value in drawn]
    worst = misjudged([-s for s in scores] if decibels else scores, [measured[site] for site in sites])
    order = [*worst, *(i for i in range(len(sites)) if i not in worst)]
    shares = [
        (
            (math.log10(kl[i]) - x_range[0]) / (x_range[1] - x_range[0]),
            (y_range[1] - along[i]) / (y_range[1] - y_range[0]),
        )
        for i in order
    ]
    names = [shortened(sites[i], 16) for i in worst]
    offsets = beside_points(shares, names, (_NARROWEST, HEIGHT - TOP - BOTTOM), near=8)
    for i, name, offset in zip(worst, names, offsets, strict=True):
        colour = palette.clipping
        figure["annotations"].append(beside(name, colour, math.log10(kl[i]), along[i], offset, near=8, **axes))
    dot = precision_colour("int8", theme)
    figure["data"].append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": kl,
            "y": drawn,
            "xaxis": f"x{number}",
            "yaxis": f"y{number}",
            "marker": {
                "size": [11 if i in worst else 8 for i in range(len(sites))],
                "color": faded(dot, 0.6),
                "line": {
                    "width": [2 if i in worst else 1 for i in range(len(sites))],
                    "color": [palette.clipping if i in worst else dot for i in range(len(sites))],
                },
            },
            "cliponaxis": False,
            "customdata": [[site] for site in sites],
            "hovertext": [_hover(proxy.name, site, score, measured[site]) for site, score in known],
            "hoverinfo": "text",
            "showlegend": False,
        }
    )
    extra = _powers(y_range) if kind == "log" else {}
    if not sites:
        middle = {"x": sum(x_range) / 2, "y": sum(y_range) / 2}
        figure["annotations"].append(annotation("no layer has this score", palette.muted, **middle, **axes))
    if proxy.name == "fisher":
        low, high = max(x_range[0], y_range[0]), min(x_range[1], y_range[1])
        if low < high:
            ends = {"x0": 10**low, "x1": 10**high, "y0": 10**low, "y1": 10**high}
            look = line(palette.muted, 1, "dot")
            figure["shapes"].append({"type": "line", "layer": "below", **ends, **axes, "line": look})
    figure["axes"][f"yaxis{number}"] = axis(
        theme, _UNITS[proxy.name], type=kind, range=y_range, anchor=f"x{number}", **extra
    )


def _powers(ends: Sequence[float]) -> dict[str, Any]:
    """Ticks at powers of ten, all that fit."""
    return {"exponentformat": "power", "dtick": 1 if ends[1] - ends[0] < 4.5 else 2}


def _agreement(correlation: float | None) -> str:
    if correlation is None:
        return "ranks: undefined"
    words = next((words for least, words in _WORDS if correlation >= least), "ranks the other way round")
    return f"{words}: {correlation:.2f}"


def _hover(name: ProxyName, site: str, score: float, divergence: float) -> str:
    values = {
        "output-sqnr": f"SQNR of its output {score:.1f} dB",
        "weight-mse": f"squared rounding error of its weight {score:.3g} of its power",
        "fisher": f"divergence foreseen by Fisher information {score:.3g}",
    }
    return f"<b>{site}</b><br>measured divergence {divergence:.3g}<br>{values[name]}"
