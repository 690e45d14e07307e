"""The one theme of all figures: a colour per calibration, per precision and per kind of operation, on light and dark.

Colours have a contrast of at least 3 to the page behind them, and those of the calibrations stay apart under the three
kinds of colour blindness; lines differ in their dashes as well, and carry their names.
"""

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go

Theme = Literal["light", "dark"]
Precision = Literal["fp32", "int8", "float-kept", "bf16", "fp16", "int8+bf16"]

#: Name under which the cutoff that the reader chooses goes in every mapping of calibrations.
CUSTOM = "custom"

FONT = '"Source Sans", "Source Sans 3", "Source Sans Pro", system-ui, sans-serif'
CLEAR = "rgba(0,0,0,0)"


@dataclass(frozen=True)
class Palette:
    """Colours of one theme, as `#rrggbb`.

    Attributes:
        page: what lies behind a figure; the figures themselves are transparent.
        text: words and numbers.
        muted: axes and less important words.
        grid: grid lines.
        panel: behind hover texts.
        fill: bars of counts and other plain quantities.
        plain: weights as they are, rounding error: the unremarkable of two.
        accent: weights after folding: the remarkable of two.
        clipping: what is cut off.
        calibrations: by name, percentiles aside.
        percentiles: from 1 nine (90 %) to 6 nines (99.9999 %).
        precisions: fp32, int8, layers kept in floating point, and what else engines offer.
        kinds: by kind of operation.
        scale: colours of a heat map, from what asks for no attention to what does; lightness runs one way.
    """

    page: str
    text: str
    muted: str
    grid: str
    panel: str
    fill: str
    plain: str
    accent: str
    clipping: str
    calibrations: Mapping[str, str]
    percentiles: tuple[str, ...]
    precisions: Mapping[Precision, str]
    kinds: Mapping[str, str]
    scale: tuple[str, ...]


PALETTES: dict[Theme, Palette] = {
    "light": Palette(
        page="#ffffff",
        text="#262730",
        muted="#5b6472",
        grid="#e3e7ee",
        panel="#ffffff",
        fill="#94a3b8",
        plain="#7c8aa0",
        accent="#6d4bc3",
        clipping="#d1243f",
        calibrations={"max": "#b45f06", "entropy": "#8e1a62", "mse": "#0a9080", "fixed": "#9a2be0", CUSTOM: "#111827"},
        percentiles=("#2f9fb4", "#3597c4", "#3b8fd4", "#2468b0", "#1d4480", "#0e2350"),
        precisions={
            "fp32": "#64748b",
            "int8": "#6d4bc3",
            "float-kept": "#8a6d00",
            "bf16": "#0e7490",
            "fp16": "#b45309",
            "int8+bf16": "#b8245f",
        },
        kinds={
            "convolution": "#4c6a92",
            "depthwise convolution": "#b07a1c",
            "transposed convolution": "#7a5c99",
            "linear": "#3f8a50",
            "matrix product": "#b0526a",
        },
        scale=("#f1f4f9", "#d3e2f0", "#a6cde3", "#68b0d0", "#3a8bc0", "#2a62a6", "#2b3d86", "#29195c"),
    ),
    "dark": Palette(
        page="#0e1117",
        text="#fafafa",
        muted="#a3adbd",
        grid="#2a303c",
        panel="#1b2029",
        fill="#64748b",
        plain="#8d9bb0",
        accent="#a78bfa",
        clipping="#ff6b7f",
        calibrations={"max": "#ffb454", "entropy": "#f07ac0", "mse": "#2fd6b5", "fixed": "#a45bff", CUSTOM: "#ffffff"},
        percentiles=("#c9fbff", "#cbf0ff", "#cde6ff", "#86c1f7", "#4c97e0", "#3a70bc"),
        precisions={
            "fp32": "#a3b1c6",
            "int8": "#a78bfa",
            "float-kept": "#e8d25a",
            "bf16": "#5fd3e8",
            "fp16": "#ffb454",
            "int8+bf16": "#ff86b8",
        },
        kinds={
            "convolution": "#8fb0dc",
            "depthwise convolution": "#e5b769",
            "transposed convolution": "#b79ad6",
            "linear": "#8ccb97",
            "matrix product": "#e28fa5",
        },
        scale=("#1d2333", "#293a61", "#2e5a8a", "#2f80a0", "#36a59c", "#6cc684", "#b6de60", "#fde725"),
    ),
}

_DASHES = {"max": "longdash", "entropy": "dashdot", "mse": "dot", "fixed": "longdashdot", CUSTOM: "solid"}
_PATTERNS = {"depthwise convolution": "/", "transposed convolution": "x", "linear": ".", "matrix product": "\\"}


def calibration_colour(name: str, theme: Theme) -> str:
    """Colour of a calibration by name, as `#rrggbb`; the same on every figure.

    A percentile that is not in the paper gets the colour between its neighbours by its number of nines
    (-log10 of the share above it), so that every percentile keeps its own wherever it turns up. A name that is no
    calibration gets the colour of muted words.
    """
    palette = PALETTES[theme]
    kind, _, percent = name.partition(":")
    if kind != "percentile":
        return palette.calibrations.get("fixed" if kind == "fixed" else name, palette.muted)
    last = len(palette.percentiles)
    try:
        above = 1 - float(percent) / 100
    except ValueError:
        return palette.muted
    nines = min(max(-math.log10(above), 1.0), float(last)) if above > 0 else float(last)
    lower = min(int(nines + 1e-9), last - 1)
    return _between(palette.percentiles[lower - 1], palette.percentiles[lower], nines - lower)


def calibration_dash(name: str) -> str:
    """Dash of a calibration's line, a second mark beside its colour."""
    return _DASHES.get("fixed" if name.startswith("fixed:") else name, "dash")


def precision_colour(precision: str, theme: Theme) -> str:
    """Colour of a precision (`Precision`), as `#rrggbb`; muted for an unknown one."""
    return PALETTES[theme].precisions.get(precision, PALETTES[theme].muted)  # type: ignore[call-overload, no-any-return]


def kind_colour(kind: str, theme: Theme) -> str:
    """Colour of a kind of operation, as `#rrggbb`; muted for an unknown one."""
    return PALETTES[theme].kinds.get(kind, PALETTES[theme].muted)


def kind_pattern(kind: str) -> str:
    """Fill pattern of a kind of operation, a second mark beside its colour."""
    return _PATTERNS.get(kind, "")


def faded(colour: str, opacity: float) -> str:
    """`#rrggbb` as `rgba(…)`."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def layout(theme: Theme, **extra: Any) -> dict[str, Any]:
    """Layout that all figures share, with `extra` over it; `margin` and `legend` are merged key by key.

    Backgrounds are transparent, so that a figure sits on the page's own. Every colour is set here and none left to a
    template, so a page must not put a theme of its own over it (in Streamlit: `theme=None`).
    """
    palette = PALETTES[theme]
    font = {"family": FONT, "size": 13, "color": palette.text}
    base: dict[str, Any] = {
        "template": "none",
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": font,
        "margin": {"l": 64, "r": 16, "t": 16, "b": 52, "pad": 0},
        "hoverlabel": {
            "bgcolor": palette.panel,
            "bordercolor": palette.muted,
            "font": {"color": palette.text},
            "align": "left",
        },
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "bgcolor": CLEAR},
        "modebar": {"bgcolor": CLEAR, "color": palette.muted, "activecolor": palette.text},
        "hovermode": "closest",
        "height": 360,
    }
    merged = {key: base[key] | extra[key] for key in ("margin", "legend") if key in extra}
    return base | extra | merged


def axis(theme: Theme, title: str = "", **extra: Any) -> dict[str, Any]:
    """An axis with its title (and unit), `extra` over it."""
    palette = PALETTES[theme]
    base: dict[str, Any] = {
        "title": {"text": title, "font": {"color": palette.text, "size": 13}, "standoff": 8},
        "tickfont": {"color": palette.muted, "size": 12},
        "gridcolor": palette.grid,
        "linecolor": palette.muted,
        "tickcolor": palette.muted,
        "zeroline": False,
        "showgrid": True,
        "showline": False,
    }
    return base | extra


def annotation(text: str, colour: str, **extra: Any) -> dict[str, Any]:
    """Words without an arrow, in an explicit colour."""
    return {"text": text, "showarrow": False, "font": {"color": colour, "size": 12}} | extra


def line(colour: str, width: float = 1.5, dash: str = "solid") -> dict[str, Any]:
    """A line's look."""
    return {"color": colour, "width": width, "dash": dash}


def blank(message: str, theme: Theme, height: int = 220) -> go.Figure:
    """A figure without data: a sentence in the middle says what is missing."""
    hidden = {"visible": False, "range": [0, 1], "fixedrange": True}
    words = annotation(
        "<br>".join(textwrap.wrap(message, 60)), PALETTES[theme].muted, x=0.5, y=0.5, xref="paper", yref="paper"
    )
    words["font"] |= {"size": 14}
    return go.Figure(layout=layout(theme, height=height, xaxis=hidden, yaxis=hidden, annotations=[words]))


def _between(first: str, second: str, weight: float) -> str:
    pairs = ((int(first[i : i + 2], 16), int(second[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * min(max(weight, 0.0), 1.0)):02x}" for a, b in pairs)
