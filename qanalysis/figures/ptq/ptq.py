"""Post-training quantization by calibration (Table 5), and the paper's own row beside it."""

from typing import Any

import plotly.graph_objects as go

from qanalysis.figures.look.labels import Level, across, margin
from qanalysis.figures.look.scales import window
from qanalysis.figures.look.theme import PALETTES, Theme, annotation, axis, blank, calibration_colour, layout
from qanalysis.figures.ptq.bars import Bar, categories, hanging
from qanalysis.insight.words import calibration_label, metric_noun
from qanalysis.numerics.calibrate import PAPER_CALIBRATIONS
from qanalysis.schema.paper import PaperRow
from qanalysis.schema.results.accuracy import PtqResult, PtqRow

# Of the comparison with the paper, in px.
_HEIGHT, _TOP, _BOTTOM = 300, 34, 36

HOW_TO_READ = {
    "bars": (
        "A bar hangs from the floating-point accuracy down to the int8 accuracy of one calibration: its length is the "
        "loss, the star marks the best, and the dotted line is 1 % relative loss, the paper's measure of success. The "
        "whisker is the 95 % interval of the loss: calibrations whose whiskers overlap much cannot be told apart."
    ),
    "against_paper": (
        "Filled marks are this network, hollow ones the paper's network of the same name (Table 5), both as loss "
        "relative to its own fp32 accuracy, since they were measured on different samples. Compare the pattern (which "
        "calibration fails, which holds), not the exact heights."
    ),
}


def bars(result: PtqResult, *, theme: Theme = "light") -> go.Figure:
    """Accuracy of every calibration as a bar hanging from the fp32 line, the best marked (Table 5).

    Whiskers are the 95 % interval of the difference from fp32 on the same samples: both models see the same images, so
    this is far narrower than the interval of the accuracy itself, which is in the hover text. The axis shows the
    ordinary rows; one that loses more than 8 times the median loss is cut at the bottom with its value
    (`look.scales.window`).
    """
    if not result.rows:
        return blank("No calibration has been measured yet.", theme)
    return hanging([_bar(row, result, theme) for row in result.rows], result.fp32, result.metric, theme)


def against_paper(result: PtqResult, paper: PaperRow | None, *, theme: Theme = "light") -> go.Figure:
    """Relative loss by calibration, this network's filled and the paper's hollow.

    Absolute accuracies of different data cannot be compared, so only the losses are. A mark below the axis (see
    `bars`) is drawn at its bottom with its value.
    """
    ours = {row.calibration: row.relative for row in result.rows}
    if paper is None or not ours:
        missing = "No calibration has been measured yet." if not ours else "The paper has no row for this architecture."
        return blank(missing, theme)
    theirs = dict(zip(PAPER_CALIBRATIONS, paper.relative(), strict=True))
    names = list(dict.fromkeys((*ours, *theirs)))
    both = [*ours.values(), *theirs.values()]
    low, high = (value - 100 for value in window(100, [100 + v for v in both], [(100 + v, 100 + v) for v in both]))
    palette = PALETTES[theme]
    traces = []
    notes = []
    sides: tuple[tuple[str, dict[str, float], float, str], ...] = (
        ("this network", ours, -0.13, "circle"),
        (f"paper: {paper.network}", theirs, 0.13, "circle-open"),
    )
    for label, values, shift, symbol in sides:
        at = [(i + shift, name, values[name]) for i, name in enumerate(names) if name in values]
        symbols = [symbol if value >= low else symbol.replace("circle", "triangle-down") for _, _, value in at]
        look: dict[str, Any] = {
            "symbol": symbols,
            "size": 13,
            "color": [calibration_colour(n, theme) for _, n, _ in at],
        }
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": label,
                "x": [x for x, _, _ in at],
                "y": [max(value, low + 0.05 * (high - low)) for _, _, value in at],
                "marker": look | {"line": {"width": 2.5, "color": look["color"]}},
                "hovertext": [f"{label}<br>{calibration_label(n)}: {value:+.2f} % of fp32" for _, n, value in at],
                "hoverinfo": "text",
                "showlegend": False,
            }
        )
        key = {"symbol": symbol, "size": 11, "color": palette.muted, "line": {"width": 2.5, "color": palette.muted}}
        traces.append({"type": "scatter", "mode": "markers", "x": [None], "y": [None], "name": label, "marker": key})
        for x, _, value in at:
            if value < low:
                beside = {"x": x, "y": low + 0.05 * (high - low), "xanchor": "left", "xshift": 9}
                notes.append(annotation(f"{value:.0f} %", palette.text, **beside))
    levels = [Level(0, "fp32", palette.precisions["fp32"], 2), Level(-1, "1 % loss", palette.clipping, dash="dot")]
    shapes, words = across(levels, (low, high), _HEIGHT - _TOP - _BOTTOM)
    return go.Figure(
        {
            "data": traces,
            "layout": layout(
                theme,
                height=_HEIGHT,
                margin={"t": _TOP, "r": margin(levels), "b": _BOTTOM},
                shapes=shapes,
                annotations=notes + words,
                xaxis=categories([calibration_label(name) for name in names], theme),
                yaxis=axis(theme, "change, % of fp32", range=[low, high]),
            ),
        }
    )


def _bar(row: PtqRow, result: PtqResult, theme: Theme) -> Bar:
    what = metric_noun(result.metric)
    low, high = row.change_interval
    hover = [
        f"<b>{calibration_label(row.calibration)}</b>",
        f"{what} {row.accuracy:.2f} % ({row.relative:+.2f} % of fp32)",
        f"95 % interval {row.accuracy_interval[0]:.2f} to {row.accuracy_interval[1]:.2f} %",
        f"difference from fp32: {low:+.2f} to {high:+.2f} points",
    ]
    if result.data.labelled:
        hover.append(f"same {result.words.answer} as fp32: {row.agreement:.2f} %")
        hover += [f"{name} {value:.2f} %" for name, value in row.details.items()]
    if row.sqnr is not None:
        hover.append(f"SQNR of the outputs: {row.sqnr:.1f} dB")
    return Bar(
        label=calibration_label(row.calibration),
        value=row.accuracy,
        interval=(result.fp32 + low, result.fp32 + high),
        relative=row.relative,
        colour=calibration_colour(row.calibration, theme),
        hover="<br>".join(hover),
        best=row.calibration == result.best,
    )
