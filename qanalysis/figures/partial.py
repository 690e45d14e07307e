"""Partial quantization: accuracy against layers left in floating point (Fig. 3, Table 6), and what they cost."""

import plotly.graph_objects as go

from qanalysis.figures.curves import Curve, chosen, drawn, told
from qanalysis.figures.theme import Theme, blank, precision_colour
from qanalysis.schema.result import Metric
from qanalysis.schema.sensitivity import Partial

HOW_TO_READ = {
    "steps": (
        "From left to right one more layer stays in floating point; every point was measured, with its 95 % interval "
        "of the change from fp32. The ringed point is the first that reaches the dotted line: the fewest layers to "
        "skip for the loss you accept."
    ),
    "tradeoff": (
        "To the right more of the multiply-accumulates run in integers, upwards accuracy is higher, so the best plans "
        "are in the upper right corner. The line is partial quantization step by step, diamonds are the plans you "
        "pinned; a plan with another one to its upper right is not worth having."
    ),
}


def steps(
    partial: Partial,
    *,
    fp32: float,
    target: float,
    metric: Metric,
    greedy: Partial | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Accuracy by number of skipped layers, in the order of sensitivity and by greedy search.

    Args:
        partial: the measured steps.
        fp32: accuracy in floating point, in %.
        target: loss to accept, in % relative to fp32.
        metric: what accuracies are.
        greedy: a second search to compare with.
        theme: light or dark.
    """
    searches = [search for search in (partial, greedy) if search is not None and search.steps]
    if not searches:
        return blank("No step has been measured yet.", theme, 400)
    every = [step for search in searches for step in search.steps]
    marks = list(dict.fromkeys(mark for search in searches for mark in chosen(search)))
    return drawn(
        [steps_curve(search, fp32, metric, _NAMES[search.search], theme) for search in searches],
        fp32=fp32,
        target=target,
        quantized=next((step.accuracy for step in every if not step.skipped), None),
        metric=metric,
        title="layers left in floating point",
        last=max(len(step.skipped) for step in every),
        theme=theme,
        marks=marks,
    )


_NAMES = {"order": "in order of sensitivity", "greedy": "greedy search"}


def steps_curve(partial: Partial, fp32: float, metric: Metric, name: str, theme: Theme) -> Curve:
    """The steps as a curve over the number of skipped layers."""
    hovers = []
    for step in partial.steps:
        count = len(step.skipped)
        title = f"<b>also skipped: {step.skipped[-1]}</b>" if count else "<b>nothing skipped</b>"
        words = f"{count} layer{'s' * (count != 1)} in floating point"
        share = f"{step.int8_mac_share:.1f} % of multiply-accumulates in integers"
        hovers.append("<br>".join([title, f"{words}, {share}", *told(step, fp32, metric)]))
    greedy = partial.search == "greedy"
    return Curve(
        name,
        [len(step.skipped) for step in partial.steps],
        partial.steps,
        hovers,
        precision_colour("int8" if greedy else "float-kept", theme),
        "diamond" if greedy else "square",
        "dash" if greedy else "solid",
    )
