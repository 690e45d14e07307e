"""Scales of harm: how the three measures of a change lie on an axis on which harm always grows to the right.

The ends of an axis are round numbers, so that they stay while a measurement that is being watched settles.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from qanalysis.figures.look.scales import DEEPEST
from qanalysis.schema.results.sensitivity import Change

Shown = Literal["divergence", "accuracy", "sqnr"]

#: A logarithmic axis of divergences has at most this many decades; what is below lies at its start.
DECADES = 6


@dataclass(frozen=True)
class Scale:
    """Where the bars of some changes end.

    Attributes:
        kind: of the axis.
        start: left end of the axis, where there is no harm, in the measure's unit.
        end: right end.
    base: where bars begin.
        values: one for each change, within the axis.
        intervals: one for each change, within the axis; without length where there is none.
        at_start: words beside a bar that has no length, by number of the change.
        at_end: words at the right end for a change that is beyond it.
    """

    kind: Literal["log", "linear"]
    start: float
    end: float
    base: float
    values: list[float]
    intervals: list[tuple[float, float]]
    at_start: dict[int, str] = field(default_factory=dict)
    at_end: dict[int, str] = field(default_factory=dict)

    @property
    def range(self) -> list[float]:
        """Of a Plotly axis."""
        return [math.log10(self.start), math.log10(self.end)] if self.kind == "log" else [self.start, self.end]


def divergences(changes: Sequence[Change]) -> Scale:
    """Divergence on a logarithmic axis; zero lies at its start."""
    start, end = decades(
        [change.divergence for change in changes], [change.divergence_interval[1] for change in changes]
    )
    return Scale(
        "log",
        start,
        end,
        0.0,
        [max(change.divergence, start) for change in changes],
        [(max(change.divergence_interval[0], start), max(change.divergence_interval[1], start)) for change in changes],
        {
            i: "0" if change.divergence == 0 else f"{change.divergence:.1g}"
            for i, change in enumerate(changes)
            if change.divergence <= start
        },
    )


def accuracies(changes: Sequence[Change], fp32: float, quantized: float | None) -> Scale:
    """Change of accuracy in points, reversed; one that loses more than 8 times the median loss is beyond the end."""
    losses = [fp32 - change.accuracy for change in changes]
    deepest = DEEPEST * max(float(np.median(losses)) if losses else 0.0, 0.01 * fp32)
    shown = [change for change, loss in zip(changes, losses, strict=True) if loss <= deepest]
    low = min([-0.1, *(min(change.change_interval[0], change.accuracy - fp32) for change in shown)])
    if quantized is not None and 3 * low <= quantized - fp32:
        low = min(low, quantized - fp32)
    highest = max((max(change.change_interval[1], change.accuracy - fp32) for change in shown), default=0.0)
    high = max(0.0, highest, 0.0 if quantized is None else quantized - fp32)
    step = round_step((high - low) / 6)
    start, end = step * math.ceil(high / step - 1e-9), step * math.floor(low / step + 1e-9)
    values = [max(change.accuracy - fp32, end) for change in changes]
    return Scale(
        "linear",
        start,
        end,
        0.0,
        values,
        [change.change_interval if change.accuracy - fp32 >= end else (end, end) for change in changes],
        at_end={i: f"{-loss:.1f} ▶" for i, loss in enumerate(losses) if -loss < end},
    )


def sqnrs(changes: Sequence[Change]) -> Scale:
    """SQNR of the outputs in dB, reversed; outputs that did not change lie at the start."""
    finite = [change.sqnr for change in changes if change.sqnr is not None]
    start = 10 * math.ceil(max(finite, default=30.0) / 10 + 0.1)
    end = min(10 * math.floor(min(finite, default=20.0) / 10 + 1e-9), start - 20)
    values = [start if change.sqnr is None else change.sqnr for change in changes]
    same = {i: "unchanged" for i, change in enumerate(changes) if change.sqnr is None}
    return Scale("linear", start, end, start, values, [(value, value) for value in values], same)


def decades(values: Sequence[float], highest: Sequence[float] = ()) -> tuple[float, float]:
    """Round ends of a logarithmic axis: what is below the first, such as zero, is drawn there.

    Args:
        values: at least zero.
        highest: more values that must not be beyond the end, such as the ends of intervals.
    """
    positive = [value for value in values if value > 0]
    top = max([*positive, *highest], default=0.0)
    if top <= 0:
        return 1e-6, 1e-3
    power = math.floor(math.log10(top))
    end = next(m * 10.0**power for m in (1, 2, 5, 10) if top <= m * 10.0**power * (1 + 1e-9))
    first = math.floor(math.log10(min(positive, default=top)) - 0.02)
    start = 10.0 ** min(max(first, power - DECADES), power - 1)
    return start, end


def round_step(step: float) -> float:
    """The next of 1, 2, 5, 10, … that is not less."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(m * power for m in (1, 2, 5, 10) if step <= m * power * (1 + 1e-9))
