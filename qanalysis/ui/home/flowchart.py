"""The workflow's chart on a page; a click opens a box's page or runs its step."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import streamlit as st

from qanalysis.ui.home.nodes import Node

_HERE = Path(__file__).parent


def flowchart(nodes: Sequence[Node], links: Mapping[str, str], *, idle: bool) -> tuple[str | None, str | None]:
    """Draws it.

    Args:
        nodes: the boxes.
        links: addresses of their pages, by key.
        idle: whether steps can be run from here: nothing runs.

    Returns:
        Keys of the box to open and of the one to run, if one was clicked.
    """
    component = st.components.v2.component(
        "qanalysis_flowchart",
        html="<div class='qa-flow' role='group' aria-label='The workflow of this model'></div>",
        js=(_HERE / "flowchart.js").read_text(),
        isolate_styles=False,
    )
    data = {"nodes": [node.data for node in nodes], "links": dict(links), "idle": idle}
    clicked = component(key="flowchart", data=data, on_open_change=_nothing, on_run_change=_nothing)
    return clicked.open, clicked.run


def _nothing() -> None:
    """A trigger has a value only where something is to be called."""
