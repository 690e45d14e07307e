"""The paper's tables as charts: a row for every network, a mark for every column, the reader's own model on top."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go

from qanalysis.figures.learn.look import axis, layout, words
from qanalysis.figures.look.theme import PALETTES, Theme, blank, calibration_colour, line
from qanalysis.insight.words import calibration_label
from qanalysis.numerics.calibrate import PAPER_CALIBRATIONS
from qanalysis.numerics.change import relative

Shown = Literal["relative", "accuracy"]

#: Unless the whole scale is shown, changes below this are drawn at the left end with their value, in % of fp32.
DEEPEST = -4.0
_ROW, _TOP, _BOTTOM = 27, 104, 56

HOW_TO_READ = {
    "table": (
        "One row for each network, one mark for each column of the table; the further left, the more accuracy is lost "
        "against that network's own fp32, and the dotted line is a loss of 1 %. Marks at the left end lie beyond it, "
        "at the value beside them. A ringed mark belongs to an error in the paper, explained below."
    ),
}


@dataclass(frozen=True)
class Line:
    """A row.

    Attributes:
        network: its name.
        fp32: accuracy in floating point, in %.
        accuracies: by column, in %; what was not measured is left out.
        calibrations: by column, the calibration that colours its mark.
        own: whether it is the reader's model.
        ringed: columns with an error of the paper.
    """

    network: str
    fp32: float
    accuracies: Mapping[str, float]
    calibrations: Mapping[str, str]
    own: bool = False
    ringed: frozenset[str] = frozenset()

    def shown(self, column: str, shown: Shown) -> float:
        """What is drawn for a column, in %."""
        accuracy = self.accuracies[column]
        return accuracy if shown == "accuracy" else relative(accuracy, self.fp32)


def table(
    columns: Sequence[str],
    lines: Sequence[Line],
    *,
    theme: Theme = "light",
    shown: Shown = "relative",
    whole: bool = False,
) -> go.Figure:
    """The table.

    Args:
        columns: in the order of the legend.
        lines: from top to bottom.
        theme: light or dark.
        shown: change relative to fp32, or accuracy.
        whole: show the whole scale, whatever is far out.
    """
    if not lines:
        return blank("This table has no rows.", theme)
    palette = PALETTES[theme]
    values = [line_.shown(column, shown) for line_ in lines for column in line_.accuracies]
    low, high = min(values, default=0.0), max([*values, 0.0])
    if shown == "relative":
        low = min(low if whole else max(low, DEEPEST), -1.2)
    else:
        high = max(high, *(line_.fp32 for line_ in lines))
    air = 0.05 * (high - low or 1)
    span = (low - (1.6 * air if low > min(values, default=low) else air), high + air)
    traces: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    for place, column in enumerate(columns):
        rows = [(i, row) for i, row in enumerate(lines) if column in row.accuracies]
        at = [row.shown(column, shown) for _, row in rows]
        symbols, colours = zip(*(_mark(column, row, theme) for _, row in rows), strict=True) if rows else ((), ())
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": _label(column),
                "showlegend": False,
                "x": [max(value, low) for value in at],
                "y": [i for i, _ in rows],
                "marker": {
                    "size": [17 if row.own else 13 for _, row in rows],
                    "symbol": ["triangle-left" if v < low else s for v, s in zip(at, symbols, strict=True)],
                    "color": list(colours),
                    "line": {"width": 2.5, "color": list(colours)},
                },
                "hovertext": [_hover(row, column) for _, row in rows],
                "hoverinfo": "text",
            }
        )
        traces.append(_key(column, place, theme))
        rings = [(max(v, low), i) for v, (i, row) in zip(at, rows, strict=True) if column in row.ringed]
        if rings:
            look = {"size": 27, "symbol": "circle-open", "color": palette.clipping, "line": {"width": 3}}
            ring = {"type": "scatter", "mode": "markers", "hoverinfo": "skip", "showlegend": False, "marker": look}
            traces.append(ring | {"x": [x for x, _ in rings], "y": [y for _, y in rings]})
    for i, row in enumerate(lines):
        beyond = sorted((value, c) for c in row.accuracies if (value := row.shown(c, shown)) < low)
        if beyond:
            text = ", ".join(
                f'<span style="color:{_mark(column, row, theme)[1]}"><b>{value:.0f}</b></span>'
                for value, column in beyond
            )
            text += " %"
            beside = {"x": low, "y": i, "xanchor": "left", "xshift": 13, "bgcolor": palette.page}
            notes.append(words(text, palette.text, **beside) | {"font": {"color": palette.text, "size": 13}})
    names = [f"<b>▶ {row.network}</b>" if row.own else row.network for row in lines]
    shapes: list[dict[str, Any]] = []
    if shown == "relative":
        for x, look in ((0.0, line(palette.precisions["fp32"], 2)), (-1.0, line(palette.clipping, 1.5, "dot"))):
            shapes.append({"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": look})
        for x, text in ((0.0, "fp32"), (-1.0, "1 % loss")):
            colour = palette.clipping if x else palette.precisions["fp32"]
            notes.append(words(text, colour, x=x, y=1, yref="paper", yanchor="bottom", yshift=2))
    else:
        marks = {"size": 17, "symbol": "line-ns", "line": {"width": 3, "color": palette.precisions["fp32"]}}
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "fp32",
                "x": [row.fp32 for row in lines],
                "y": list(range(len(lines))),
                "marker": marks,
                "hovertext": [f"{row.network}<br>fp32 {row.fp32:.2f} %" for row in lines],
                "hoverinfo": "text",
            }
        )
    return go.Figure(
        {
            "data": traces,
            "layout": layout(
                theme,
                height=_TOP + _BOTTOM + _ROW * max(len(lines), 3),
                margin={"l": 24, "r": 16, "t": _TOP, "b": _BOTTOM},
                legend={"y": 1 + 26 / (_ROW * max(len(lines), 3)), "yanchor": "bottom", "itemsizing": "constant"},
                shapes=shapes,
                annotations=notes,
                showlegend=True,
                uirevision="table",
                xaxis=axis(
                    theme, "change, % of fp32" if shown == "relative" else "accuracy (%)", range=list(span), nticks=9
                ),
                yaxis=axis(
                    theme,
                    tickvals=list(range(len(lines))),
                    ticktext=names,
                    range=[len(lines) - 0.4, -0.6],
                    automargin=True,
                    tickfont={"color": palette.text, "size": 15},
                ),
            ),
        }
    )


def _label(column: str) -> str:
    return calibration_label(column) if column in PAPER_CALIBRATIONS else column


def _mark(column: str, row: Line, theme: Theme) -> tuple[str, str]:
    """Symbol and colour of a column's marks."""
    palette = PALETTES[theme]
    int8, kept = palette.precisions["int8"], palette.precisions["float-kept"]
    plain = {
        "per-channel": ("circle", palette.plain),
        "per-channel folded": ("circle-open", palette.accent),
        "per-tensor": ("square", palette.plain),
        "per-tensor folded": ("square-open", palette.accent),
        "int8 weights": ("circle", int8),
        "full int8": ("circle-open", int8),
        "partial int8": ("diamond", kept),
        "QAT": ("diamond", int8),
        "max with GELU10": ("star", calibration_colour("max", theme)),
    }
    if column in plain:
        return plain[column]
    if column == "PTQ":
        return "circle-open", calibration_colour(row.calibrations.get(column, ""), theme)
    if ", from " in column:  # Table 8
        start = calibration_colour("max", theme) if column.endswith("max") else palette.text
        return ("circle-open" if column.startswith("fixed") else "diamond"), start
    return "circle", calibration_colour(column, theme)


def _key(column: str, place: int, theme: Theme) -> dict[str, Any]:
    """The legend's entry of a column, whatever became of its first mark."""
    symbol, colour = _mark(column, Line("", 1.0, {}, {}), theme)
    marker = {"size": 13, "symbol": symbol, "color": colour, "line": {"width": 2.5, "color": colour}}
    base = {"type": "scatter", "mode": "markers", "x": [None], "y": [None], "name": _label(column)}
    return base | {"legendrank": place, "marker": marker}


def _hover(row: Line, column: str) -> str:
    accuracy = row.accuracies[column]
    change = f"{row.shown(column, 'relative'):+.2f} % of fp32 ({row.fp32:.2f} %)"
    name = row.calibrations.get(column)
    how = f", {calibration_label(name)} calibration" if name and name != column else ""
    return f"<b>{row.network}</b><br>{_label(column)}{how}: {accuracy:.2f} %<br>{change}"
