"""A fine-tune step by step (Appendix A.2): loss, learning rate, and how fast it goes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from qanalysis.figures.look.series import air
from qanalysis.figures.look.theme import PALETTES, Theme, annotation, axis, blank, faded, layout, line, precision_colour
from qanalysis.schema.results.qat import Phase, QatEpoch, QatStep

HEIGHT, TOP, BOTTOM = 340, 54, 48
NAMES: dict[Phase, str] = {"qat": "QAT", "fp32": "fp32 control"}
NOTHING = "Training has not begun yet."
#: Share of the planned steps over which the running mean of the loss goes.
_SMOOTH = 0.04


@dataclass(frozen=True)
class Course:
    """One fine-tune as far as it has come.

    Attributes:
        phase: quantized, or the control in floating point.
        steps: losses and rates along the way.
        epochs: accuracies.
        kept: number of the epoch whose weights were kept; None while it is not known.
    """

    phase: Phase
    steps: tuple[QatStep, ...] = ()
    epochs: tuple[QatEpoch, ...] = ()
    kept: int | None = None


def loss(courses: Sequence[Course], *, steps: int, steps_per_epoch: int, theme: Theme = "light") -> go.Figure:
    """Training loss by step, with marks at the epochs.

    Args:
        courses: the fine-tune and its control.
        steps: planned.
        steps_per_epoch: steps of an epoch.
        theme: light or dark.
    """
    drawn = [course for course in courses if course.steps]
    if not drawn:
        return blank(NOTHING, theme, HEIGHT)
    data: list[dict[str, Any]] = []
    for course in drawn:
        x = np.array([row.step for row in course.steps], np.int32)
        y = np.array([row.loss for row in course.steps], np.float32)
        colour, dash = look(course, theme)
        hover = "step %{x:,} (epoch %{customdata:.2f})<br>loss %{y:.4f}<extra>" + NAMES[course.phase] + "</extra>"
        custom = np.array([row.epoch for row in course.steps], np.float32)
        shared = {"type": "scatter", "mode": "lines", "x": x, "customdata": custom}
        width = max(1, round(_SMOOTH * steps * len(x) / max(int(x[-1]), 1)))
        if width > 1 and len(x) > 2:
            thin = {"y": y, "line": line(faded(colour, 0.35), 1), "showlegend": False, "hoverinfo": "skip"}
            data.append(shared | thin)
        mode = "lines" if len(x) > 1 else "markers"
        thick = {"y": _smooth(y, width), "line": line(colour, 2.2, dash), "name": NAMES[course.phase], "mode": mode}
        data.append(shared | thick | {"marker": {"color": colour, "size": 8}, "hovertemplate": hover})
    shapes, notes = _epoch_marks(steps, steps_per_epoch, theme)
    losses = np.concatenate([[row.loss for row in course.steps] for course in drawn])
    top = float(np.percentile(losses, 99.5)) if len(losses) > 20 else float(losses.max())
    span = air([float(losses.min()), top], 0.05)
    return go.Figure(
        {
            "data": data,
            "layout": layout(
                theme,
                height=HEIGHT,
                margin={"t": TOP, "b": BOTTOM, "l": 60},
                legend=legend(),
                shapes=shapes,
                annotations=notes,
                xaxis=_step_axis(steps, theme),
                yaxis=axis(theme, "training loss", range=list(span)),
            ),
        }
    )


def pace(courses: Sequence[Course], *, steps: int, theme: Theme = "light") -> go.Figure:
    """Learning rate by step, and below it the samples that are trained on in a second.

    Args:
        courses: the fine-tune and its control.
        steps: planned.
        theme: light or dark.
    """
    drawn = [course for course in courses if course.steps]
    if not drawn:
        return blank(NOTHING, theme, HEIGHT)
    data: list[dict[str, Any]] = []
    for course in drawn:
        colour, dash = look(course, theme)
        x = np.array([row.step for row in course.steps], np.int32)
        mode = "lines" if len(x) > 1 else "markers"
        shared = {"type": "scatter", "mode": mode, "x": x, "name": NAMES[course.phase], "marker": {"color": colour}}
        rates = np.array([row.learning_rate for row in course.steps], np.float32)
        speeds = np.array([row.images_per_second for row in course.steps], np.float32)
        end = "<extra>" + NAMES[course.phase] + "</extra>"
        hover = "step %{x:,}<br>learning rate %{y:.3g}" + end
        if course.phase == "qat" or len(drawn) == 1:  # the control's is the same
            data.append(shared | {"y": rates, "line": line(colour, 2.2), "hovertemplate": hover, "showlegend": False})
        hover = "step %{x:,}<br>%{y:,.0f} samples in a second" + end
        data.append(shared | {"y": speeds, "yaxis": "y2", "line": line(colour, 1.6, dash), "hovertemplate": hover})
    fastest = max(row.images_per_second for course in drawn for row in course.steps)
    highest = max(row.learning_rate for course in drawn for row in course.steps)
    return go.Figure(
        {
            "data": data,
            "layout": layout(
                theme,
                height=HEIGHT,
                margin={"t": TOP, "b": BOTTOM, "l": 74},
                legend=legend(),
                showlegend=len(drawn) > 1,
                xaxis=_step_axis(steps, theme) | {"anchor": "y2"},
                yaxis=axis(
                    theme,
                    "learning rate",
                    domain=[0.56, 1],
                    range=[0, 1.08 * highest],
                    nticks=4,
                    exponentformat="power",
                ),
                yaxis2=axis(theme, "samples per second", domain=[0, 0.44], range=[0, 1.12 * fastest], nticks=4),
            ),
        }
    )


def look(course: Course, theme: Theme) -> tuple[str, str]:
    """Colour and dash."""
    if course.phase == "fp32":
        return precision_colour("fp32", theme), "dash"
    return precision_colour("int8", theme), "solid"


def _smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Running mean over the last rows."""
    sums = np.cumsum(np.insert(values.astype(np.float64), 0, 0.0))
    first = np.maximum(np.arange(1, len(values) + 1) - width, 0)
    last = np.arange(1, len(values) + 1)
    return np.asarray((sums[last] - sums[first]) / (last - first), np.float32)


def _step_axis(steps: int, theme: Theme) -> dict[str, Any]:
    return axis(theme, "step", range=[0, max(steps, 1) * 1.01], showgrid=False, tickformat=",d", nticks=7)


def _epoch_marks(steps: int, per_epoch: int, theme: Theme) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Thin lines where epochs end, and their numbers above the plot; of many only some."""
    palette = PALETTES[theme]
    count = steps // max(per_epoch, 1)
    every = next((gap for gap in (1, 2, 5, 10, 20, 50, 100, 200, 500) if count <= 8 * gap), 1000)
    shapes, notes = [], []
    for epoch in range(every, count + 1, every):
        at = {"x0": epoch * per_epoch, "x1": epoch * per_epoch, "y0": 0, "y1": 1, "yref": "paper"}
        shapes.append({"type": "line", **at, "line": line(palette.grid, 1), "layer": "below"})
        words = f"epoch {epoch}" if epoch == every else f"{epoch}"
        base: dict[str, Any] = {"x": epoch * per_epoch, "y": 1, "yref": "paper", "yanchor": "bottom"}
        notes.append(annotation(words, palette.muted, **base))
    return shapes, notes


def legend() -> dict[str, Any]:
    """Above the numbers of epochs."""
    return {"y": 1 + 20 / (HEIGHT - TOP - BOTTOM), "x": 0, "xanchor": "left"}
