"""Several fine-tunes in one chart (Table 8 as curves), and the axes that charts of epochs share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from qanalysis.figures.look import series
from qanalysis.figures.look.series import End
from qanalysis.figures.look.theme import Theme, axis, blank, layout, line, precision_colour
from qanalysis.insight.words import metric_axis
from qanalysis.schema.results.common import Metric
from qanalysis.schema.results.qat import QatEpoch

HEIGHT, _TOP, _BOTTOM = 430, 24, 52
#: A line this many times further down than the others are apart is not allowed to flatten them.
_DEEPEST = 4.0


@dataclass(frozen=True)
class RunCurves:
    """One fine-tune among others.

    Attributes:
        name: what tells it from the others.
        epochs: accuracies so far.
        control: those of the same fine-tune in floating point; alone they are drawn in its colour.
        live: whether more is to come.
    """

    name: str
    epochs: tuple[QatEpoch, ...] = ()
    control: tuple[QatEpoch, ...] = ()
    live: bool = False


def comparison(
    runs: Sequence[RunCurves],
    *,
    fp32: float | None,
    metric: Metric = "accuracy",
    last: int = 1,
    theme: Theme = "light",
) -> go.Figure:
    """Accuracy by epoch of several runs, each in a colour of its own, their controls dashed.

    Args:
        runs: in the order of their colours.
        fp32: accuracy in floating point, in %; None while it is not known.
        metric: what accuracies are.
        last: number of the last planned epoch of the longest run.
        theme: light or dark.
    """
    drawn = [(number, run) for number, run in enumerate(runs) if run.epochs or run.control]
    if not drawn:
        return blank("None of these runs has measured an epoch yet.", theme, HEIGHT)
    data: list[dict[str, Any]] = []
    names = [] if fp32 is None else [End(fp32, f"fp32 {fp32:.2f} %", precision_colour("fp32", theme))]
    for number, run in drawn:
        colour = _colour(run, number, theme)
        for epochs, control in ((run.epochs, False), (run.control, True)):
            if epochs:
                data.append(_trace(run, epochs, control, number, theme))
        if run.epochs:
            value = run.epochs[-1].accuracy
            so_far = " so far" if run.live else ""
            name = series.cut(run.name, series.LONGEST - len(so_far) - 8)
            names.append(End(value, f"{name} {value:.1f} %{so_far}", colour))
        if run.control:
            name = "fp32 control" if run.epochs else run.name
            names.append(End(run.control[-1].accuracy, f"{name} {run.control[-1].accuracy:.1f} %", colour))
    values = [[e.accuracy for e in epochs] for _, run in drawn for epochs in (run.epochs, run.control) if epochs]
    span = lowest(values, [] if fp32 is None else [fp32])
    look = line(precision_colour("fp32", theme), 2)
    shapes = [{"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": fp32, "y1": fp32, "line": look}]
    return go.Figure(
        {
            "data": data,
            "layout": layout(
                theme,
                height=HEIGHT,
                margin={"t": _TOP, "b": _BOTTOM, "l": 60, "r": series.room(names)},
                showlegend=False,
                shapes=[] if fp32 is None else shapes,
                annotations=series.ends(names, span, HEIGHT - _TOP - _BOTTOM),
                xaxis=axis_of_epochs(last, theme),
                yaxis=axis(theme, metric_axis(metric), range=list(span)),
            ),
        }
    )


def axis_of_epochs(last: int, theme: Theme) -> dict[str, Any]:
    """An axis from before training to the last planned epoch."""
    last = max(last, 1)
    every = {"dtick": 1} if last <= 12 else {"nticks": 10}
    return axis(theme, "epoch (0: before training)", range=[-0.04 * last, 1.04 * last], showgrid=False, **every)


def lowest(values: Sequence[Sequence[float]], lines: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis of accuracies, in %.

    A network that calibration alone leaves useless would flatten everything that training does: where the accuracies
    before training lie far below the others, they are not shown.

    Args:
        values: accuracies of every curve, that before training first.
        lines: values of horizontal lines.
    """
    later = [value for curve in values for value in (curve[1:] or curve)]
    everything = [value for curve in values for value in curve] + list(lines)
    if not later:
        return series.air(everything, 1.0)
    high, low = max([*later, *lines]), min(later)
    spread = max(high - low, 2.0)
    shown = [value for value in everything if value >= low - _DEEPEST * spread]
    return series.air(shown, 1.0)


def _colour(run: RunCurves, number: int, theme: Theme) -> str:
    return series.colour(number, theme) if run.epochs else precision_colour("fp32", theme)


def _trace(run: RunCurves, epochs: Sequence[QatEpoch], control: bool, number: int, theme: Theme) -> dict[str, Any]:
    colour = _colour(run, number, theme)
    kind = ", fp32 control" if control and run.epochs else ""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": run.name + kind,
        "x": [epoch.epoch for epoch in epochs],
        "y": [epoch.accuracy for epoch in epochs],
        "line": line(colour, 1.6 if control else 2.2, "dash" if control else "solid"),
        "marker": {
            "color": colour,
            "size": 6 if control else 8,
            "symbol": series.symbol(number) + ("-open" if control else ""),
        },
        "hovertext": [
            f"<b>{run.name}{kind}</b><br>"
            + ("before training" if epoch.epoch == 0 else f"after epoch {epoch.epoch}")
            + f": {epoch.accuracy:.2f} %"
            for epoch in epochs
        ],
        "hoverinfo": "text",
    }
