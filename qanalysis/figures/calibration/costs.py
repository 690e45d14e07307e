"""What every cutoff costs: clipping error against rounding error (section 3.4)."""

import math
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from qanalysis.figures.look.theme import PALETTES, Theme, annotation, axis, blank, calibration_colour, layout
from qanalysis.insight.words import calibration_label
from qanalysis.numerics.error import QuantizationError

#: Bars longer than this many times the shortest are cut.
LONGEST = 8

HOW_TO_READ = {
    "costs": (
        "A bar is the error that quantization adds, in % of the signal's power: a low cutoff clips large values, a "
        "high one rounds all others more coarsely, and the shortest bar is the best trade. SQNR says the same in "
        "decibels; 6 dB more is half the error, as with one bit more."
    ),
}


def costs(errors: Mapping[str, QuantizationError | None], *, theme: Theme = "light") -> go.Figure:
    """Rounding and clipping error of every cutoff, stacked, in % of the signal's power, with the SQNR in dB beside it.

    Percent and not dB, because powers add up and decibels do not: the two parts of a bar are the trade that a
    calibration makes, and their sum is all of the noise. A linear scale, because a stack means nothing on another; so
    that one bad cutoff does not flatten the rest, a bar longer than 8 times the shortest is cut and its value written.

    Args:
        errors: by calibration (`custom` for the reader's own cutoff), in the order drawn; None is left out.
        theme: light or dark.
    """
    known = {name: error for name, error in errors.items() if error is not None}
    if not known:
        return blank("There is no cutoff to compare: every value of this activation was zero.", theme)
    palette = PALETTES[theme]
    noise = [noise_share(error) for error in known.values()]
    rounding = [
        total * error.rounding_mse / error.mse if error.mse else 0.0
        for total, error in zip(noise, known.values(), strict=True)
    ]
    positive = [total for total in noise if total > 0]
    end = min(max(positive), LONGEST * min(positive)) if positive else 1.0
    rows = list(range(len(known)))
    texts = [
        f"{calibration_label(name)}<br>rounding {part:.3g} % + clipping {total - part:.3g} % of the signal's power"
        f"<br>{error.clipped:.4g} % of the values clipped, step {error.step:.4g}<br>SQNR {_decibels(error.sqnr)}"
        for (name, error), part, total in zip(known.items(), rounding, noise, strict=True)
    ]
    clipping = [total - part for part, total in zip(rounding, noise, strict=True)]
    base: dict[str, Any] = {"type": "bar", "orientation": "h", "y": rows, "width": 0.62}
    base |= {"hovertext": texts, "hoverinfo": "text"}
    striped = {"color": palette.clipping, "line": {"width": 0}}
    striped["pattern"] = {"shape": "/", "size": 6, "solidity": 0.25, "fillmode": "overlay", "fgcolor": palette.page}
    traces = [
        base | {"x": rounding, "name": "rounding error", "marker": {"color": palette.plain, "line": {"width": 0}}},
        base | {"x": clipping, "name": "clipping error", "marker": striped},
    ]
    best = max(error.sqnr for error in known.values())
    notes = [annotation("SQNR", palette.muted, x=1, xref="paper", xanchor="left", xshift=10, y=-0.75, yref="y")]
    for row, (error, total) in enumerate(zip(known.values(), noise, strict=True)):
        words = _decibels(error.sqnr)
        words = f"<b>{words}</b>" if error.sqnr == best else words
        notes.append(annotation(words, palette.text, x=1, xref="paper", xanchor="left", xshift=10, y=row, yref="y"))
        if total > 1.001 * end:
            cut = {"x": 1, "xref": "paper", "xanchor": "right", "xshift": -4, "y": row, "yref": "y", "borderpad": 2}
            notes.append(annotation(f"{total:.3g} % ▸", palette.text, bgcolor=palette.page, **cut))
    ticks = [
        f'{calibration_label(name)} <span style="color:{calibration_colour(name, theme)}">■</span>' for name in known
    ]
    return go.Figure(
        {
            "data": traces,
            "layout": layout(
                theme,
                height=132 + 30 * len(known),
                margin={"l": 108, "r": 84, "t": 34},
                barmode="stack",
                legend={"traceorder": "normal"},
                annotations=notes,
                xaxis=axis(theme, "error, % of the signal's power", range=[0, 1.04 * end], rangemode="tozero"),
                yaxis=axis(
                    theme,
                    tickvals=rows,
                    ticktext=ticks,
                    range=[len(known) - 0.4, -1.1],
                    showgrid=False,
                    tickfont={"color": palette.text, "size": 13},
                ),
            ),
        }
    )


def noise_share(error: QuantizationError) -> float:
    """Power of the error over that of the signal, in %."""
    return 0.0 if math.isinf(error.sqnr) else 100 * 10 ** (-error.sqnr / 10)


def _decibels(sqnr: float) -> str:
    return "no error" if math.isinf(sqnr) else f"{sqnr:.1f} dB"
