"""The lesson on batch-norm folding: how many codes are left to each channel (section 4.1, Appendix C)."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from qanalysis.figures.learn.look import axis, layout
from qanalysis.figures.look.theme import PALETTES, Theme, line

HOW_TO_READ = {
    "codes_left": (
        "A pair of bars for each output channel: how many integer codes its weights can take if one range has to fit "
        "all channels, before and after batch norm is folded into them. The dotted line is what every channel has "
        "with a range of its own; a channel with one code is all zeros."
    ),
}


def codes_left(before: Sequence[int], after: Sequence[int], most: int, *, theme: Theme = "light") -> go.Figure:
    """Codes that each channel's weights can take under one range for all.

    Args:
        before: one count for each channel, batch norm not folded.
        after: the same, folded.
        most: with a range for each channel.
        theme: light or dark.
    """
    palette = PALETTES[theme]
    channels = [f"{i + 1}" for i in range(len(before))]
    bar: dict[str, Any] = {
        "type": "bar",
        "x": list(range(len(before))),
        "textposition": "auto",
        "textangle": 0,
        "cliponaxis": False,
    }
    traces = [
        bar
        | {"y": list(counts), "text": [str(n) for n in counts], "name": name}
        | {
            "marker": {"color": colour, "line": {"width": 0}},
            "outsidetextfont": {"color": palette.text, "size": 14},
            "insidetextfont": {"color": palette.page, "size": 14},
        }
        | {"hovertemplate": "channel %{customdata}: %{y} codes<extra></extra>", "customdata": channels}
        for counts, name, colour in (
            (before, "as trained", palette.plain),
            (after, "batch norm folded", palette.accent),
        )
    ]
    traces.append(
        {
            "type": "scatter",
            "mode": "lines",
            "x": [-0.6, len(before) - 0.4],
            "y": [most, most],
            "name": f"per-channel: {most}",
            "line": line(palette.text, 2.5, "dot"),
            "hoverinfo": "skip",
        }
    )
    return go.Figure(
        {
            "data": traces,
            "layout": layout(
                theme,
                height=340,
                margin={"l": 84, "r": 12, "t": 34, "b": 56},
                bargap=0.25,
                bargroupgap=0.06,
                xaxis=axis(
                    theme,
                    "output channel",
                    tickvals=list(range(len(before))),
                    ticktext=channels,
                    range=[-0.6, len(before) - 0.4],
                    showgrid=False,
                ),
                yaxis=axis(theme, "codes per channel", range=[0, 1.08 * most], nticks=5),
            ),
        }
    )
