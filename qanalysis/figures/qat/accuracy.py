"""Quantization-aware training (section 5.2, 5.3, Appendix A.2): how a fine-tune goes, and what it gains.

The axes of steps and epochs reach from the start to the planned end, so that a run that is watched fills them.
"""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from qanalysis.figures.look.labels import Level, across, margin
from qanalysis.figures.look.theme import PALETTES, Theme, axis, blank, layout, line, precision_colour
from qanalysis.figures.qat.ranges import moves as moves
from qanalysis.figures.qat.ranges import ranges as ranges
from qanalysis.figures.qat.runs import RunCurves as RunCurves
from qanalysis.figures.qat.runs import axis_of_epochs, comparison, lowest
from qanalysis.figures.qat.steps import BOTTOM, HEIGHT, NAMES, NOTHING, TOP, legend, look
from qanalysis.figures.qat.steps import Course as Course
from qanalysis.figures.qat.steps import loss as loss
from qanalysis.figures.qat.steps import pace as pace
from qanalysis.figures.qat.weights import weights as weights
from qanalysis.insight.words import metric_axis
from qanalysis.numerics.change import relative
from qanalysis.schema.results.common import Metric
from qanalysis.schema.results.qat import Phase, QatEpoch

__all__ = [
    "HOW_TO_READ",
    "Course",
    "RunCurves",
    "accuracy",
    "comparison",
    "loss",
    "moves",
    "pace",
    "ranges",
    "weights",
]

HOW_TO_READ = {
    "loss": (
        "Training loss by step, its running mean as a thick line; thin lines mark epochs. It falls fast at first, as "
        "the network gets used to rounding, and should then settle; one that rises means that the learning rate is too "
        "high. Dashed is the same training in floating point."
    ),
    "accuracy": (
        "Accuracy after every epoch. What lies between the PTQ line and the solid curve is gained by training. Dashed "
        "is the same training in floating point: as far as it rises above the fp32 line, more training helps by "
        "itself. The ring marks the epoch that was kept: the latest that is not surely worse than the best, on samples "
        "set aside."
    ),
    "pace": (
        "The learning rate falls along a cosine from its initial value to its last one. Below it, the training samples "
        "that went by in a second, quantized and in floating point: the gap is what fake quantization costs."
    ),
    "ranges": (
        "Each line is the largest value that a layer's input may take, as training moves it; the dotted line of the "
        "same colour is where calibration had put it. A falling line clips more large values and has finer steps."
    ),
    "moves": (
        "One row per layer: how far training moved the range, as a share of the calibrated one. Left of the line it "
        "became narrower, with finer steps, right of it wider; a layer that did not move had a good range already."
    ),
    "weights": (
        "Weights of one layer in units of their quantization step: every vertical line is a value that the quantized "
        "weight can take. Grey is before training, the colour is after. Peaks on the lines mean that weights have "
        "settled on the grid; the outermost codes are always taken, since the largest weight sets the step."
    ),
    "comparison": (
        "One colour for each run: accuracy after every epoch, from what calibration alone gives. Dashed is the same "
        "fine-tune in floating point. Runs that end higher are better; where curves end within a point of each other, "
        "another seed may change their order."
    ),
}


def accuracy(
    courses: Sequence[Course],
    *,
    fp32: float | None,
    ptq: float | None,
    metric: Metric = "accuracy",
    last: int = 1,
    theme: Theme = "light",
) -> go.Figure:
    """Accuracy by epoch, beside the lines of fp32 and of the quantized network before training.

    Args:
        courses: the fine-tune and its control.
        fp32: accuracy in floating point, in %; None while it is not known.
        ptq: accuracy before training, in %.
        metric: what accuracies are.
        last: number of the last planned epoch.
        theme: light or dark.
    """
    drawn = [course for course in courses if course.epochs]
    if not drawn and fp32 is None:
        return blank(NOTHING, theme, HEIGHT)
    palette = PALETTES[theme]
    levels = [Level(fp32, f"fp32 {fp32:.2f} %", precision_colour("fp32", theme), 2)] if fp32 is not None else []
    if ptq is not None:
        levels.append(Level(ptq, f"PTQ {ptq:.2f} %", palette.clipping, 1.5, "dot"))
    values = [[epoch.accuracy for epoch in course.epochs] for course in drawn]
    span = lowest(values, [level.value for level in levels])
    shapes, notes = across(levels, span, HEIGHT - TOP - BOTTOM)
    data: list[dict[str, Any]] = []
    for course in drawn:
        colour, dash = look(course, theme)
        quantized = course.phase == "qat"
        x, y = [epoch.epoch for epoch in course.epochs], [epoch.accuracy for epoch in course.epochs]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": NAMES[course.phase],
                "x": x,
                "y": y,
                "line": line(colour, 2.2, dash),
                "marker": {"color": colour, "size": 8, "symbol": "circle" if quantized else "square"},
                "hovertext": [_told(epoch, course.phase, fp32) for epoch in course.epochs],
                "hoverinfo": "text",
            }
        )
        kept = [epoch for epoch in course.epochs if epoch.epoch == course.kept]
        if kept and quantized:
            ring = {"symbol": "circle-open", "size": 17, "color": palette.text, "line": {"width": 2}}
            point = {"type": "scatter", "mode": "markers", "x": [kept[-1].epoch], "y": [kept[-1].accuracy]}
            data.append(point | {"marker": ring, "hoverinfo": "skip", "name": "kept"})
    return go.Figure(
        {
            "data": data,
            "layout": layout(
                theme,
                height=HEIGHT,
                margin={"t": TOP, "b": BOTTOM, "l": 60, "r": margin(levels)},
                legend=legend(),
                showlegend=bool(data),
                shapes=shapes,
                annotations=notes,
                xaxis=axis_of_epochs(last, theme),
                yaxis=axis(theme, metric_axis(metric), range=list(span)),
            ),
        }
    )


def _told(epoch: QatEpoch, phase: Phase, fp32: float | None) -> str:
    change = "" if fp32 is None else f" ({relative(epoch.accuracy, fp32):+.2f} % of fp32)"
    when = "before training" if epoch.epoch == 0 else f"after epoch {epoch.epoch}, step {epoch.step:,}"
    lines = [f"<b>{NAMES[phase]}</b> {when}", f"{epoch.accuracy:.2f} %{change}"]
    if epoch.validation_accuracy is not None:
        lines.append(f"{epoch.validation_accuracy:.2f} % on samples set aside")
    return "<br>".join(lines)
