"""Range against samples seen: whether a calibration has seen enough."""

from collections.abc import Sequence

import plotly.graph_objects as go

from qanalysis.figures.look.theme import PALETTES, Theme, axis, blank, calibration_colour, layout, line
from qanalysis.insight.words import calibration_label
from qanalysis.schema.observations import Growth

HOW_TO_READ = {
    "growth": "How far the values of this activation reached after so many samples. Lines that are flat at the right "
    "end have settled; the maximum climbs with every rarer value, a percentile settles soon."
}


def growth(notes: Sequence[Growth], key: str, *, theme: Theme) -> go.Figure:
    """Maximum and 99.99 % point of one activation against the number of samples."""
    points = [note for note in notes if key in note.amax]
    if len(points) < 2:
        return blank("This calibration was made in one batch, or before this was noted: run it again to see it.", theme)
    samples = [note.samples for note in points]
    figure = go.Figure(
        layout=layout(
            theme,
            height=280,
            xaxis=axis(theme, "samples seen", rangemode="tozero"),
            yaxis=axis(theme, "largest magnitude", rangemode="tozero"),
            showlegend=False,
            margin={"r": 90},
        )
    )
    for name, values in (
        ("max", [note.amax[key] for note in points]),
        ("percentile:99.99", [note.tail[key] for note in points]),
    ):
        colour = calibration_colour(name, theme)
        figure.add_scatter(
            x=samples,
            y=values,
            mode="lines+markers",
            line=line(colour, 2),
            marker={"color": colour, "size": 6},
            name=calibration_label(name),
            hovertemplate=f"{calibration_label(name)}: %{{y:.4g}} after %{{x:,}} samples<extra></extra>",
        )
        figure.add_annotation(
            x=samples[-1],
            y=values[-1],
            text=calibration_label(name),
            xanchor="left",
            xshift=8,
            showarrow=False,
            font={"color": colour, "size": 12},
            bgcolor=PALETTES[theme].page,
        )
    return figure
