"""A Plotly figure on a page that is updated in place: zoom survives, and nothing is drawn anew while a slider moves."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import plotly.graph_objects as go
import streamlit as st

#: Where the server gives out plotly.js from the installed package, so that no network is needed.
PLOTLY_ROUTE = "vendor/plotly"

_HERE = Path(__file__).parent
#: Height of the controls of an animation, in px.
_PLAYER = 48


def theme() -> Literal["light", "dark"]:
    """The theme the browser shows."""
    return "dark" if st.context.theme.type == "dark" else "light"


def chart(
    figure: go.Figure,
    *,
    key: str,
    file: str,
    how_to_read: str = "",
    on_click: Callable[[str], None] | None = None,
) -> None:
    """Draws a figure, with buttons to download it as PNG or SVG, and a sentence below on how to read it.

    Args:
        figure: with `layout.height` set, so that nothing jumps while it loads. One with `frames` in
            `layout.meta` (`traces`, and their `x` and `y` at every step) gets a button that plays them and a slider.
        key: identity on the page.
        file: name of a downloaded image, without ending.
        how_to_read: one or two sentences for a newcomer.
        on_click: called with the first item of a mark's customdata when the mark is clicked, before the page is drawn
            again.
    """
    height = int(figure.layout.height or 450) + (_PLAYER if "frames" in (figure.layout.meta or {}) else 0)
    component = st.components.v2.component(
        "qanalysis_chart",
        html="<div class='qa-chart'></div><div class='qa-player' hidden></div>",
        js=(_HERE / "chart.js").read_text(),
        isolate_styles=False,
    )
    data = {"figure": figure.to_json(), "file": file, "height": height, "route": PLOTLY_ROUTE}

    def clicked() -> None:
        mark = st.session_state[key].get("clicked")
        if on_click is not None and mark:
            on_click(str(mark))

    component(key=key, data={**data, "clickable": on_click is not None}, height=height, on_clicked_change=clicked)
    if how_to_read:
        st.caption(how_to_read)
