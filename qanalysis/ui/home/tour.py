"""The tour: a first visitor is led through the pages in two minutes, with a sample model, and can leave any time."""

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from qanalysis.schema.catalog import home
from qanalysis.ui import navigation

_STEP = "tour-step"
_SEEN = "tour-seen"


@dataclass(frozen=True)
class Stop:
    """One step: a page, and what to see there."""

    page: Callable[[], StreamlitPage]
    title: str
    words: str


_STOPS = (
    Stop(
        navigation.home,
        "A trained network",
        "A small ResNet that tells ten kinds of pictures apart. Its accuracy in floating point is measured first: "
        "every loss is held against it. Below is the paper's workflow; **Run it all** does everything by itself.",
    ),
    Stop(
        navigation.calibration,
        "Where to cut",
        "One layer's values. Eight bits give 255 steps; the lines show how far each calibration makes them reach. "
        "**Move your own cutoff** and watch what it clips and what it rounds away.",
    ),
    Stop(
        navigation.ptq,
        "What it costs",
        "Quantize all layers and measure again, once for each calibration: press **Run PTQ**. Try 4 bits in the "
        "settings to see it go wrong.",
    ),
    Stop(
        navigation.learn,
        "Why",
        "The paper's figures to touch, from one scale factor to training. Your own model goes into the sidebar by "
        "name: everything you saw works with it.",
    ),
)


def card(page: StreamlitPage) -> None:
    """Draws the tour's step on the page that it belongs to, or on the home page the offer to a first visitor."""
    number = st.session_state.get(_STEP)
    if number is None:
        if page.url_path == navigation.home().url_path and not _seen():
            _offer()
        return
    stop = _STOPS[number]
    if stop.page().url_path != page.url_path:
        return
    with st.container(border=True, key="tour"):
        st.markdown(f":material/explore: **{number + 1} of {len(_STOPS)} · {stop.title}** — {stop.words}")
        with st.container(horizontal=True):
            if number:
                st.button("Back", key="tour-back", on_click=_to, args=(number - 1,))
            if number + 1 < len(_STOPS):
                st.button("Next", key="tour-next", type="primary", on_click=_to, args=(number + 1,))
            st.button("End the tour", key="tour-end", type="tertiary", on_click=_end)


def _offer() -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="tour"):
        st.markdown(":material/explore: **New here?** See it in two minutes, with a sample network.", width="content")
        st.button("Take the tour", key="tour-start", type="primary", on_click=_to, args=(0,))
        st.button("No, thanks", key="tour-end", type="tertiary", on_click=_end)


def _to(number: int) -> None:
    st.session_state[_STEP] = number
    preloaded = {"model": "sample:resnet20", "data": "sample:cifar10"} if number == 0 else {}
    navigation.go(_STOPS[number].page(), **preloaded)


def _end() -> None:
    """Not offered again, in this session or, where that can be kept, another."""
    st.session_state.pop(_STEP, None)
    st.session_state[_SEEN] = True
    try:
        (home() / _SEEN).touch()
    except OSError:
        return


def _seen() -> bool:
    try:
        return bool(st.session_state.get(_SEEN)) or (home() / _SEEN).exists()
    except OSError:
        return True  # the page says what is wrong with the folder
