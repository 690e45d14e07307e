"""Weights by channel: why one range per tensor fails where one per channel does not (section 4.1, Table 3)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from qanalysis.figures.look.labels import name_margin, shortened
from qanalysis.figures.look.theme import PALETTES, Theme, annotation, axis, blank, faded, layout, line
from qanalysis.figures.ptq.bars import Bar, hanging
from qanalysis.schema.results.weights import ChannelStatistics, WeightsResult

HOW_TO_READ = {
    "channels": (
        "One row per layer: the box holds the middle half of its channels by their largest weight, the whiskers reach "
        "the smallest and the largest channel. One range for the whole tensor must fit the largest, so every tenfold "
        "step to the left of it leaves a channel ten times fewer int8 codes; batch-norm folding often widens the row."
    ),
    "one_site": (
        "Each bar is the largest weight of one output channel, smallest channel first. With one range for the whole "
        "tensor all get that of the solid line, and a channel below the dotted line is rounded to zero altogether; "
        "with one range per channel each gets its own height."
    ),
    "accuracy": (
        "A bar hangs from the floating-point accuracy: its length is what quantizing the weights alone costs. One "
        "range per channel should cost next to nothing; one range per tensor often fails once batch norm is folded."
    ),
}

NO_WEIGHTS = "No layer of this model has a weight to look at."


def channels(
    result: WeightsResult, *, theme: Theme = "light", folded: bool = False, selected: str | None = None
) -> go.Figure:
    """Largest magnitude of every channel of every weight, as boxes on a logarithmic axis.

    Whiskers reach the extremes. Channels of zeros have no place on the axis and are left out.

    Args:
        result: of the weight-only study; its sites are in the order of execution.
        theme: light or dark.
        folded: draw the channels after batch-norm folding, too, beside those as trained.
        selected: site whose row is marked.
    """
    entries = result.channels
    if not entries:
        return blank(NO_WEIGHTS, theme)
    palette = PALETTES[theme]
    traces = [_boxes([(i, entry.amax) for i, entry in enumerate(entries)], "as trained", palette.plain)]
    after = [(i, entry.folded_amax) for i, entry in enumerate(entries) if entry.folded_amax is not None]
    both = folded and bool(after)
    if both:
        traces.append(_boxes(after, "batch norm folded", palette.accent))
    labels = [shortened(entry.site) for entry in entries]
    shapes = []
    for row, entry in enumerate(entries):
        if entry.site == selected:
            band = {"type": "rect", "x0": 0, "x1": 1, "xref": "paper", "y0": row - 0.5, "y1": row + 0.5}
            look = {"fillcolor": palette.grid, "line": {"width": 0}, "layer": "below"}
            shapes.append(band | look)
    height = (30 if both else 20) if len(entries) <= 40 else (24 if both else 16)
    return go.Figure(
        {
            "data": traces,
            "layout": layout(
                theme,
                height=max(200, 104 + height * len(entries)),
                margin={"l": name_margin(labels), "t": 36, "b": 56},
                boxmode="group",
                boxgap=0.25,
                boxgroupgap=0.1,
                shapes=shapes,
                showlegend=both,
                xaxis=axis(theme, "largest |weight| of a channel (log scale)", **_powers(entries)),
                yaxis=axis(
                    theme,
                    tickvals=list(range(len(labels))),
                    ticktext=labels,
                    range=[len(labels) - 0.4, -0.6],
                    showgrid=False,
                    tickfont={"color": palette.text, "size": 12},
                ),
            ),
        }
    )


def one_site(result: WeightsResult, site: str, *, theme: Theme = "light", folded: bool = False) -> go.Figure:
    """Largest magnitude of each channel of one weight, sorted, with the range that per-tensor granularity gives to all.

    The dotted line is half a step of that range, `max / (2 (2^(bits-1) - 1))`: a channel below it becomes all zeros.

    Args:
        result: of the weight-only study, whose bits are used.
        site: name of the site.
        theme: light or dark.
        folded: after batch-norm folding, where there is one.
    """
    statistics = next((entry for entry in result.channels if entry.site == site), None)
    if statistics is None:
        return blank(f"There is no weight at {site}." if result.channels else NO_WEIGHTS, theme)
    bits = result.params.bits
    after = statistics.folded_amax if folded else None
    extents = statistics.amax if after is None else after
    values = np.sort(np.asarray(extents, np.float64))
    if not len(values) or values[-1] <= 0:
        return blank(f"All weights of {site} are zero.", theme)
    palette = PALETTES[theme]
    order = np.argsort(np.asarray(extents, np.float64), kind="stable")
    largest = float(values[-1])
    half_step = largest / (2 * (2 ** (bits - 1) - 1))
    floor = 0.6 * min(float(values[values > 0][0]), half_step)
    lost = int((values < half_step).sum())
    trace = {
        "type": "bar",
        "x": np.arange(1, len(values) + 1, dtype=np.int32),
        "y": values.astype(np.float32),
        "customdata": np.stack((order, 100 * values / largest), 1).astype(np.float32),
        "hovertemplate": "channel %{customdata[0]:d}<br>largest |weight| %{y:.4g}, %{customdata[1]:.3g} % of the "
        "tensor's<extra></extra>",
        "marker": {"color": palette.plain if after is None else palette.accent, "line": {"width": 0}},
    }
    beside = {"x": 1, "xref": "paper", "xanchor": "left", "xshift": 6, "yref": "y", "align": "left"}
    whole = f"range per<br>tensor: {largest:.4g}"
    zero = "no channel" if not lost else f"{lost} of {len(values)}<br>channels"
    words = f"half a step: {half_step:.3g}<br>{zero} below"
    return go.Figure(
        {
            "data": [trace],
            "layout": layout(
                theme,
                height=320,
                margin={"t": 12, "r": 140},
                bargap=0.15 if len(values) <= 128 else 0,
                shapes=[
                    _across(largest, line(palette.text, 2)),
                    _across(half_step, line(palette.clipping, 2, "dot")),
                ],
                annotations=[
                    annotation(whole, palette.text, y=np.log10(largest), **beside),
                    annotation(words, palette.clipping, y=np.log10(half_step), **beside),
                ],
                xaxis=axis(theme, "output channels, smallest first", showgrid=False, range=[0.4, len(values) + 0.6]),
                yaxis=axis(
                    theme,
                    "largest |weight| (log scale)",
                    type="log",
                    range=[float(np.log10(floor)), float(np.log10(largest)) + 0.25],
                    exponentformat="power",
                    dtick=1,
                ),
            ),
        }
    )


def accuracy(result: WeightsResult, *, theme: Theme = "light") -> go.Figure:
    """Accuracy with weights alone quantized, by granularity and folding (Table 3), hanging from the fp32 line.

    Whiskers are the 95 % interval of each accuracy.
    """
    if not result.rows:
        return blank("No weight quantization has been measured yet.", theme)
    palette = PALETTES[theme]
    bars = [
        Bar(
            label=row.granularity + ("<br>BN folded" if row.folded else "<br>" if result.folded_pairs else ""),
            value=row.accuracy,
            interval=(result.fp32 + row.change_interval[0], result.fp32 + row.change_interval[1]),
            relative=row.relative,
            colour=palette.accent if row.folded else palette.plain,
            hover=f"<b>{row.granularity}{', batch norm folded' if row.folded else ''}</b><br>"
            f"{row.accuracy:.2f} % ({row.relative:+.2f} % of fp32)<br>"
            f"change {row.change_interval[0]:+.2f} to {row.change_interval[1]:+.2f} points (95 %)",
        )
        for row in result.rows
    ]
    return hanging(bars, result.fp32, result.metric, theme)


def _boxes(rows: Sequence[tuple[int, Sequence[float]]], name: str, colour: str) -> dict[str, Any]:
    """Boxes from quartiles: sending every channel of a large model would be megabytes."""
    quartiles = []
    for position, extents in rows:
        positive = np.asarray([value for value in extents if value > 0], np.float64)
        if len(positive):
            quartiles.append((position, *np.percentile(positive, (0, 25, 50, 75, 100))))
    columns = list(zip(*quartiles, strict=True)) if quartiles else [()] * 6
    keys = ("y", "lowerfence", "q1", "median", "q3", "upperfence")
    return {
        "type": "box",
        "orientation": "h",
        "name": name,
        "line": {"color": colour, "width": 1.5},
        "fillcolor": faded(colour, 0.45),
        **{key: [float(value) for value in column] for key, column in zip(keys, columns, strict=True)},
    }


def _powers(entries: Sequence[ChannelStatistics]) -> dict[str, Any]:
    values = [value for entry in entries for value in (*entry.amax, *(entry.folded_amax or ())) if value > 0]
    low, high = (np.log10(min(values)), np.log10(max(values))) if values else (-1.0, 0.0)
    range_ = [float(low) - 0.1, float(high) + 0.1]
    return {"type": "log", "range": range_, "dtick": 1, "exponentformat": "power", "hoverformat": ".3g"}


def _across(y: float, look: dict[str, Any]) -> dict[str, Any]:
    return {"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": y, "y1": y, "line": look}
