"""Clipped GELU and Swish beside the network as it is (Table 12)."""

import plotly.graph_objects as go

from qanalysis.figures.look.theme import Theme, blank, calibration_colour, precision_colour
from qanalysis.figures.ptq.bars import Bar, hanging
from qanalysis.insight.words import calibration_label, metric_noun
from qanalysis.schema.results.clip import FLOAT, ClipResult, ClipRow

HOW_TO_READ = {
    "bars": (
        "Every bar hangs from the accuracy of the network as it was loaded, in floating point. The last two are the "
        "clipped network, in floating point and with max calibration: clipping helps where the last is shorter than "
        "all others. Whiskers are 95 % intervals of the loss on the same samples."
    )
}


def bars(result: ClipResult, *, theme: Theme = "light") -> go.Figure:
    """Accuracy of every network of Table 12 as a bar hanging from the fp32 line, the best in integers marked."""
    if not result.rows:
        return blank("Nothing has been measured yet.", theme)
    integers = [row for row in result.rows if row.calibration != FLOAT]
    best = max(integers, key=lambda row: (row.accuracy, row.sqnr or 0), default=None)
    made = [_bar(row, result, theme, best=row is best) for row in result.rows]
    return hanging(made, result.fp32, result.metric, theme)


def _bar(row: ClipRow, result: ClipResult, theme: Theme, *, best: bool) -> Bar:
    low, high = row.change_interval
    name = FLOAT if row.calibration == FLOAT else calibration_label(row.calibration)
    label = f"{name}, clipped" if row.clipped else name
    float_ = row.calibration == FLOAT
    return Bar(
        label=label,
        value=row.accuracy,
        interval=(result.fp32 + low, result.fp32 + high),
        relative=row.relative,
        colour=precision_colour(FLOAT, theme) if float_ else calibration_colour(row.calibration, theme),
        hover=f"<b>{label}</b><br>{metric_noun(result.metric)} {row.accuracy:.2f} % ({row.relative:+.2f} % of fp32)"
        f"<br>difference from fp32: {low:+.2f} to {high:+.2f} points",
        best=best,
    )
