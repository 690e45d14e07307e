"""Bars of sites: what quantizing one layer does, to watch while it is measured (section 5.1)."""

from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Any

import plotly.graph_objects as go

from qanalysis.figures.look.labels import name_margin, shortened
from qanalysis.figures.look.theme import (
    CLEAR,
    PALETTES,
    Theme,
    annotation,
    axis,
    blank,
    faded,
    layout,
    line,
    precision_colour,
)
from qanalysis.figures.sensitivity import scales
from qanalysis.figures.sensitivity.curves import told
from qanalysis.figures.sensitivity.proxies import proxies as proxies
from qanalysis.figures.sensitivity.scales import Scale, Shown
from qanalysis.insight.words import metric_noun
from qanalysis.schema.params.accuracy import Rank, SensitivityMode
from qanalysis.schema.results.common import Metric
from qanalysis.schema.results.sensitivity import SensitivityRow
from qanalysis.schema.tasks import TASKS, Words

#: Height of a row of `bars` and of the whole figure, in px.
ROW, LOWEST, HIGHEST = 20, 260, 1800

_QUANTITIES: dict[Shown, str] = {
    "divergence": "{divergence} from fp32{unit}",
    "accuracy": "change of {metric} from fp32 (points)",
    "sqnr": "SQNR of the outputs (dB, lower is worse)",
}
MODES: dict[SensitivityMode, str] = {
    "only": "only this layer quantized",
    "without": "all layers but this one quantized",
}

_CLASSES = TASKS["classification"].words
_HATCH = {"fillmode": "replace", "size": 5, "solidity": 0.25, "bgcolor": CLEAR}


def bars(
    rows: Sequence[SensitivityRow],
    *,
    fp32: float,
    quantized: float | None = None,
    metric: Metric = "accuracy",
    words: Words = _CLASSES,
    mode: SensitivityMode = "only",
    rank: Rank = "divergence",
    shown: Shown = "divergence",
    floats: Collection[str] = frozenset(),
    theme: Theme = "light",
    uirevision: str = "",
) -> go.Figure:
    """One bar per layer in the order given, with its 95 % interval; longer is more harm in every measure.

    It may be drawn again and again while rows are measured: the axis has round ends, and rows keep their height.
    `customdata` of a bar is `[site]`.

    Args:
        rows: the most sensitive first.
        fp32: accuracy in floating point, in %.
        quantized: accuracy with all sites quantized, in %, for the line in `shown` accuracy.
        metric: what accuracies are.
        words: of the task.
        mode: what was measured: only one site quantized, or all without it.
        rank: measure that the rows are ordered, and tied, by.
        shown: measure to draw.
        floats: names of the sites that the reader keeps in floating point: they are hatched.
        theme: light or dark.
        uirevision: zoom survives an update as long as this stays the same.
    """
    if not rows:
        return blank("No layer has been measured yet.", theme, LOWEST)
    palette = PALETTES[theme]
    if shown == "divergence":
        scale = scales.divergences(rows)
    elif shown == "sqnr":
        scale = scales.sqnrs(rows)
    else:
        scale = scales.accuracies(rows, fp32, quantized)
    top, bottom = (62 if shown == "accuracy" else 36), 52
    height = min(max(top + bottom + ROW * len(rows), LOWEST), HIGHEST)
    places = max(len(rows), (height - top - bottom) // ROW)
    names = [shortened(row.site) for row in rows]
    calm = [shown == "accuracy" and harmless(row) for row in rows]
    bands, brackets = _ties(rows, rank, theme)
    lines, texts = _references(scale, fp32, quantized, theme) if shown == "accuracy" else ([], [])
    key = [name for name, some in (("no measurable loss", any(calm)), ("kept in floating point", bool(floats))) if some]
    row_height = (height - top - bottom) / places
    every = 1 if row_height >= 10 else 2
    hovers = [hover(row, fp32, metric, words, mode, rows, row.site in floats) for row in rows]
    left = max(name_margin(names), 116 if shown == "accuracy" else 0)  # room for the words beside the fp32 line
    unit = f" ({words.divergence_unit})" if words.divergence_unit else ""
    quantity = _QUANTITIES[shown].format(metric=metric_noun(metric), divergence=words.divergence, unit=unit)
    title = f"{quantity}, {MODES[mode]}"
    return go.Figure(
        {
            "data": [
                _rows(rows, scale, hovers),
                _bars([i for i, quiet in enumerate(calm) if not quiet], rows, scale, floats, theme),
                _bars([i for i, quiet in enumerate(calm) if quiet], rows, scale, floats, theme, calm=True),
                *_key(key, mode, theme),
            ],
            "layout": layout(
                theme,
                height=height,
                barmode="overlay",
                uirevision=uirevision,
                margin={"l": left, "r": 58, "t": top, "b": bottom},
                legend={"yref": "container", "y": 1, "yanchor": "top", "itemclick": False, "itemdoubleclick": False},
                shapes=[*bands, *lines],
                annotations=[*brackets, *texts, *_notes(scale, theme)],
                xaxis=axis(
                    theme,
                    title,
                    type=scale.kind,
                    range=scale.range,
                    exponentformat="power",
                    uirevision=f"{uirevision} {shown}",
                    **({"dtick": 1} if scale.kind == "log" else {}),
                ),
                yaxis=axis(
                    theme,
                    tickvals=list(range(0, len(rows), every)),
                    ticktext=[_name(row.site, row.site in floats, theme) for row in rows][::every],
                    range=[places - 0.5, -0.5],
                    fixedrange=True,
                    showgrid=False,
                    tickfont={"color": palette.text, "size": 12 if row_height >= 16 else 10},
                ),
            ),
        }
    )


def harmless(row: SensitivityRow) -> bool:
    """Whether the row's loss of accuracy cannot be told from none."""
    return row.change_interval[1] >= 0


def _bars(
    which: Sequence[int],
    rows: Sequence[SensitivityRow],
    scale: Scale,
    floats: Collection[str],
    theme: Theme,
    calm: bool = False,
) -> dict[str, Any]:
    """Bars of some rows; calm ones are in a trace of their own, since whiskers have one colour in each."""
    looks = [_look(rows[i].site in floats, calm, theme) for i in which]
    pairs = [(scale.values[i], *scale.intervals[i]) for i in which]
    return {
        "type": "bar",
        "orientation": "h",
        "y": list(which),
        "x": [value - scale.base for value, _, _ in pairs],
        "base": scale.base,
        "width": 0.7,
        "marker": {
            "color": [look["fill"] for look in looks],
            "line": {"width": 1.2, "color": [look["edge"] for look in looks]},
            "pattern": _HATCH | {"shape": [look["pattern"] for look in looks]},
        },
        "error_x": {
            "type": "data",
            "visible": any(high > low for _, low, high in pairs),
            "symmetric": False,
            "array": [high - value for value, _, high in pairs],
            "arrayminus": [value - low for value, low, _ in pairs],
            "color": PALETTES[theme].fill if calm else PALETTES[theme].text,
            "thickness": 1.2,
            "width": 3,
        },
        "customdata": [[rows[i].site] for i in which],
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _rows(rows: Sequence[SensitivityRow], scale: Scale, hovers: Sequence[str]) -> dict[str, Any]:
    """Whole rows, not seen, but pointed at and clicked: a short bar would be hard to hit."""
    base = scale.start if scale.kind == "linear" else 0.0
    return {
        "type": "bar",
        "orientation": "h",
        "name": "rows",
        "y": list(range(len(rows))),
        "x": [scale.end - base] * len(rows),
        "base": base,
        "width": 1,
        "marker": {"color": CLEAR, "line": {"width": 0}},
        "customdata": [[row.site] for row in rows],
        "hovertext": list(hovers),
        "hoverinfo": "text",
        "showlegend": False,
    }


def _look(kept: bool, calm: bool, theme: Theme) -> dict[str, str]:
    if kept:
        colour = precision_colour("float-kept", theme)
        return {"fill": colour, "edge": colour, "pattern": "/"}
    colour = PALETTES[theme].fill if calm else precision_colour("int8", theme)
    return {"fill": faded(colour, 0.3 if calm else 0.6), "edge": colour, "pattern": ""}


def _key(entries: Sequence[str], mode: SensitivityMode, theme: Theme) -> list[dict[str, Any]]:
    """Legend of the looks in use; none for the ordinary one alone."""
    if not entries:
        return []
    traces = []
    for name in ("quantized" if mode == "only" else "loss", *entries):
        look = _look(name == "kept in floating point", name == "no measurable loss", theme)
        pattern = _HATCH | {"shape": look["pattern"]}
        marker = {"color": look["fill"], "line": {"width": 1.2, "color": look["edge"]}, "pattern": pattern}
        traces.append({"type": "bar", "orientation": "h", "x": [None], "y": [None], "name": name, "marker": marker})
    return traces


def _name(site: str, kept: bool, theme: Theme) -> str:
    name = shortened(site)
    return f'<span style="color:{precision_colour("float-kept", theme)}">{name}</span>' if kept else name


def _notes(scale: Scale, theme: Theme) -> list[dict[str, Any]]:
    palette = PALETTES[theme]
    start = {"x": 0, "xref": "paper", "xanchor": "left", "xshift": 4}
    end = {"x": 1, "xref": "paper", "xanchor": "right", "bgcolor": palette.page, "borderpad": 1}
    at_start = [annotation(words, palette.muted, y=i, **start) for i, words in scale.at_start.items()]
    return at_start + [annotation(words, palette.text, y=i, **end) for i, words in scale.at_end.items()]


def _references(
    scale: Scale, fp32: float, quantized: float | None, theme: Theme
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Lines at fp32 and at all sites quantized, with words above the plot."""
    palette = PALETTES[theme]
    above = {"xref": "x", "y": 1, "yref": "paper", "yanchor": "bottom", "yshift": 2}
    upright = {"type": "line", "y0": 0, "y1": 1, "yref": "paper"}
    colour = precision_colour("fp32", theme)
    shapes = [{**upright, "x0": 0, "x1": 0, "line": line(colour, 2)}]
    notes = [annotation(f"fp32 {fp32:.2f} %", colour, x=0, xanchor="right", xshift=4, **above)]
    if quantized is None:
        return shapes, notes
    change = quantized - fp32
    words = f"all quantized {change:+.2f}"
    if change < scale.end:
        beyond = {**above, "x": 1, "xref": "paper", "xanchor": "right"}
        return shapes, [*notes, annotation(f"{words} ▶", palette.text, **beyond)]
    shapes.append({**upright, "x0": change, "x1": change, "line": line(palette.text, 1.2, "dash")})
    halfway = (scale.start - change) > 0.5 * (scale.start - scale.end)
    side = {"xanchor": "right", "xshift": 4} if halfway else {"xanchor": "left", "xshift": -4}
    return shapes, [*notes, annotation(words, palette.text, x=change, **side, **above)]


def _ties(
    rows: Sequence[SensitivityRow], rank: Rank, theme: Theme
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A faint band behind every group that cannot be told apart, a bracket and the word at its right."""
    palette = PALETTES[theme]
    bands, words = [], []
    measure = "divergence" if rank == "divergence" else "accuracy"
    for _, group in groupby(enumerate(rows), lambda pair: pair[1].tie):
        members = [i for i, _ in group]
        if len(members) < 2:
            continue
        y0, y1 = members[0] - 0.42, members[-1] + 0.42
        common = {"y0": y0, "y1": y1, "yref": "y", "layer": "below"}
        fill = {"type": "rect", "x0": 0, "x1": 1, "xref": "paper", "fillcolor": faded(palette.fill, 0.13)}
        bands.append({**fill, **common, "line": {"width": 0, "color": CLEAR}})
        bracket = {"type": "path", "xref": "paper", "xsizemode": "pixel", "xanchor": 1, "yref": "y"}
        path = f"M5,{y0}H10V{y1}H5"
        bands.append({**bracket, "path": path, "line": line(palette.muted, 1), "fillcolor": CLEAR})
        beside = {"x": 1, "xref": "paper", "xanchor": "left", "xshift": 12, "y": (members[0] + members[-1]) / 2}
        hover = f"these {len(members)} layers cannot be told apart by {measure} on this many samples"
        words.append(annotation("tie", palette.muted, hovertext=hover, **beside))
    return bands, words


def hover(
    row: SensitivityRow,
    fp32: float,
    metric: Metric,
    words: Words,
    mode: SensitivityMode,
    rows: Sequence[SensitivityRow],
    kept: bool = False,
) -> str:
    """All that was measured, in words and units."""
    tied = sum(other.tie == row.tie for other in rows) - 1
    low, high = row.divergence_interval
    unit = f" {words.divergence_unit}" if words.divergence_unit else ""
    lines = [
        f"<b>{row.site}</b>, {MODES[mode]}",
        f"{words.divergence} from fp32 {row.divergence:.3g}{unit} (95 % interval {low:.3g} to {high:.3g})",
        *told(row, fp32, metric),
        "the outputs did not change" if row.sqnr is None else f"SQNR of the outputs {row.sqnr:.1f} dB",
        f"{row.macs:,} multiply-accumulates per sample; measured on {row.samples:,} samples",
    ]
    if tied:
        lines.append(f"cannot be told apart from {tied} other layer{'s' * (tied > 1)}")
    if kept:
        lines.append("kept in floating point")
    return "<br>".join(lines)
