"""Runs side by side: change of accuracy, ranges, and accuracy class by class."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from qanalysis.figures.look import series
from qanalysis.figures.look.labels import name_margin, shortened, text_width
from qanalysis.figures.look.theme import PALETTES, Theme, annotation, axis, blank, layout, line, precision_colour
from qanalysis.insight.headline import Headline, common_metric
from qanalysis.schema.results.answers import ClassAccuracy

HOW_TO_READ = {
    "changes": (
        "One row for each run: the dot is the change of accuracy against its own floating point, the line its 95 % "
        "interval, where it was measured sample by sample. Intervals that overlap much say that the order of the runs "
        "may be chance."
    ),
    "ranges": (
        "Range of every activation over that of the first run, in the order of execution: below 1 a run cuts off "
        "more and resolves small values more finely. The scale is logarithmic."
    ),
    "classes": (
        "One row for each class, those that lose most first: from the ring (before) to the dot (after). With few "
        "samples of a class, a step is one image."
    ),
}
ROW, LOWEST = 30, 160
#: Characters of a name below an axis.
_TICK = 24
#: Classes that are drawn at the most.
MOST_CLASSES = 40


def changes(runs: Sequence[tuple[str, Headline]], *, target: float = 1.0, theme: Theme = "light") -> go.Figure:
    """Change of accuracy of each run against its floating point, in points.

    Args:
        runs: name and headline; those without an accuracy are left out.
        target: loss that is accepted, in % relative; drawn for the first run's floating point.
        theme: light or dark.
    """
    rows = [
        (number, name, head, head.accuracy - head.fp32)
        for number, (name, head) in enumerate(runs)
        if head.accuracy is not None and head.fp32 is not None
    ]
    if not rows:
        return blank("None of these runs measured an accuracy.", theme)
    palette = PALETTES[theme]
    limit = -target * (rows[0][2].fp32 or 0.0) / 100
    intervals = [head.change_interval for _, _, head, _ in rows if head.change_interval]
    low = min([limit, *(change for *_, change in rows), *(low for low, _ in intervals)])
    high = max([0.0, *(change for *_, change in rows), *(high for _, high in intervals)])
    air = 0.06 * max(high - low, 0.1)
    data: list[dict[str, Any]] = []
    for place, (number, name, head, change) in enumerate(rows):
        interval = head.change_interval
        error = (
            {}
            if interval is None
            else {
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [max(interval[1] - change, 0.0)],
                    "arrayminus": [max(change - interval[0], 0.0)],
                    "color": series.colour(number, theme),
                    "thickness": 2,
                    "width": 6,
                }
            }
        )
        told = "" if interval is None else f"<br>95 % interval {interval[0]:+.2f} to {interval[1]:+.2f} points"
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [change],
                "y": [place],
                "marker": {"color": series.colour(number, theme), "symbol": series.symbol(number), "size": 11},
                "hovertext": f"<b>{name}</b><br>{head.accuracy:.2f} %, {change:+.2f} points{told}",
                "hoverinfo": "text",
                "showlegend": False,
                **error,
            }
        )
    notes = [
        annotation(
            f"{head.accuracy:.2f} %", palette.text, x=1, xref="paper", xanchor="left", xshift=8, y=place, yref="y"
        )
        for place, (_, _, head, _) in enumerate(rows)
    ]
    for x, words, colour, anchor in (
        (0.0, "fp32", precision_colour("fp32", theme), "left"),
        (limit, f"{target:g} % lost", palette.clipping, "right"),
    ):
        notes.append(annotation(words, colour, x=x, y=1, yref="paper", yanchor="bottom", xanchor=anchor, xshift=0))
    shapes = [
        _down(0.0, line(precision_colour("fp32", theme), 2)),
        _down(limit, line(palette.clipping, 1.5, "dot")),
    ]
    names = [series.cut(name) for _, name, _, _ in rows]
    left = 24 + round(max(text_width(name) for name in names))
    return go.Figure(
        {
            "data": data,
            "layout": layout(
                theme,
                height=max(78 + ROW * len(rows), LOWEST),
                margin={"l": left, "r": 76, "t": 26, "b": 52},
                shapes=shapes,
                annotations=notes,
                xaxis=axis(
                    theme,
                    f"change of {common_metric([run for _, run in runs])} (points)",
                    range=[low - air, high + air],
                ),
                yaxis=_rows(theme, names),
            ),
        }
    )


def ranges(names: Sequence[str], values: Mapping[str, Sequence[float | None]], *, theme: Theme = "light") -> go.Figure:
    """Range of every activation relative to the first run that has one.

    Args:
        names: of the runs.
        values: activation → range in each run, in the tensor's unit; None where there is none.
        theme: light or dark.
    """
    keys = list(values)
    first = next((place for place in range(len(names)) if any(values[key][place] for key in keys)), None)
    if first is None:
        return blank("Fewer than two of these runs have ranges of the same activations.", theme)
    palette = PALETTES[theme]
    data: list[dict[str, Any]] = []
    highest = 0.0
    for number, name in enumerate(names):
        ratios: list[float | None] = []
        hovers = []
        for key in keys:
            base, value = values[key][first], values[key][number]
            ratio = value / base if base and value else None
            ratios.append(ratio)
            highest = highest if ratio is None else max(highest, abs(math.log2(ratio)))
            hovers.append(f"<b>{name}</b><br>{key}<br>{'no range' if value is None else f'{value:.4g}'}")
        if all(ratio is None for ratio in ratios):
            continue
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": series.cut(name),
                "x": list(range(len(keys))),
                "y": ratios,
                "line": line(series.colour(number, theme), 1.5),
                "marker": {"color": series.colour(number, theme), "symbol": series.symbol(number), "size": 7},
                "hovertext": hovers,
                "hoverinfo": "text",
            }
        )
    reach = max(highest * 1.1, 0.2)
    steps = [0.125, 0.25, 0.5, 0.7, 1, 1.4, 2, 4, 8] if reach > 0.4 else [0.8, 0.9, 1, 1.1, 1.25]
    short = [shortened(key, _TICK) for key in keys]
    every = max(1, math.ceil(len(keys) / 40))
    return go.Figure(
        {
            "data": data,
            "layout": layout(
                theme,
                height=420,
                margin={
                    "l": 64,
                    "r": 20,
                    "t": 16 + 22 * math.ceil(len(data) / 2),
                    "b": min(round(0.8 * name_margin(short)), 150),
                },
                legend={"font": {"color": palette.text}},
                hovermode="closest",
                xaxis=axis(
                    theme,
                    tickvals=list(range(0, len(keys), every)),
                    ticktext=short[::every],
                    tickangle=-60,
                    range=[-0.5, len(keys) - 0.5],
                ),
                yaxis=axis(
                    theme,
                    f"range / range of {series.cut(names[first], 28)}",
                    type="log",
                    range=[-reach * math.log10(2), reach * math.log10(2)],
                    tickvals=steps,
                    ticktext=[f"{step:g}" for step in steps],
                ),
            ),
        }
    )


def classes(rows: Sequence[ClassAccuracy], names: Sequence[str], *, theme: Theme = "light") -> go.Figure:
    """Accuracy of each class before and after, those that lose most first.

    Args:
        rows: right answers class by class.
        names: of the classes by number; what is missing is called by its number.
        theme: light or dark.
    """
    if not rows:
        return blank("There are no samples to compare.", theme)
    ordered = sorted(rows, key=lambda row: ((row.after - row.before) / row.samples, row.number))[:MOST_CLASSES]
    palette = PALETTES[theme]
    labels = [
        series.cut(names[row.number] if row.number < len(names) else f"class {row.number}", 30) for row in ordered
    ]
    before = [100 * row.before / row.samples for row in ordered]
    after = [100 * row.after / row.samples for row in ordered]
    hovers = [
        f"<b>{label}</b><br>before {row.before:,} of {row.samples:,} right ({first:.2f} %)<br>"
        f"after {row.after:,} ({second:.2f} %)"
        for label, row, first, second in zip(labels, ordered, before, after, strict=True)
    ]
    places = list(range(len(ordered)))
    between: dict[str, list[float | None]] = {"x": [], "y": []}
    for place, first, second in zip(places, before, after, strict=True):
        between["x"] += [first, second, None]
        between["y"] += [place, place, None]
    colour = [palette.clipping if b > a else palette.muted for b, a in zip(before, after, strict=True)]
    common = {"type": "scatter", "mode": "markers", "y": places, "hovertext": hovers, "hoverinfo": "text"}
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            **between,
            "line": line(palette.muted, 2),
            "hoverinfo": "skip",
            "showlegend": False,
        },
        {
            **common,
            "x": before,
            "name": "before",
            "marker": {
                "symbol": "circle-open",
                "size": 11,
                "color": precision_colour("fp32", theme),
                "line": {"width": 2},
            },
        },
        {**common, "x": after, "name": "after", "marker": {"symbol": "circle", "size": 9, "color": colour}},
    ]
    notes = [
        annotation(
            f"{second - first:+.1f}", palette.text, x=1, xref="paper", xanchor="left", xshift=8, y=place, yref="y"
        )
        for place, first, second in zip(places, before, after, strict=True)
    ]
    low, high = series.air([*before, *after], 1.0)
    left = 24 + round(max(text_width(label) for label in labels))
    return go.Figure(
        {
            "data": data,
            "layout": layout(
                theme,
                height=max(100 + 24 * len(ordered), LOWEST),
                margin={"l": left, "r": 60, "t": 34, "b": 52},
                annotations=notes,
                xaxis=axis(theme, "right answers (%)", range=[low, min(high, 101.0)]),
                yaxis=_rows(theme, labels),
            ),
        }
    )


def _rows(theme: Theme, names: Sequence[str]) -> dict[str, Any]:
    """A vertical axis with one name for each row, the first on top."""
    return axis(
        theme,
        tickvals=list(range(len(names))),
        ticktext=list(names),
        range=[len(names) - 0.5, -0.5],
        tickfont={"color": PALETTES[theme].text, "size": 12},
        showgrid=False,
    )


def _down(x: float, look: dict[str, Any]) -> dict[str, Any]:
    return {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": look, "layer": "below"}
