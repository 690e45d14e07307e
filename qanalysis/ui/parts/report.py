"""The report of a model, to take away."""

from collections.abc import Callable, Sequence
from typing import Literal

import streamlit as st

from qanalysis.schema.results.common import Result
from qanalysis.show import markdown, web
from qanalysis.show.document import Document
from qanalysis.show.report import contents
from qanalysis.ui.parts.text import code


def downloads(results: Callable[[], Sequence[Result]], *, name: str, key: str, command: str) -> None:
    """Two buttons that make the report when they are pressed, and the command that makes the same.

    Args:
        results: finds what is reported.
        name: file name without ending.
        key: identity on the page.
        command: the command line that writes the same files.
    """

    def made(render: Callable[[Document], str]) -> Callable[[], str]:
        return lambda: render(contents.document(results()))

    forms: list[tuple[str, Callable[[Document], str], str, str, str, Literal["primary", "secondary"]]] = [
        ("Report (HTML, works offline)", web.render, "html", "text/html", ":material/lab_profile:", "primary"),
        ("Report (Markdown)", markdown.render, "md", "text/markdown", ":material/description:", "secondary"),
    ]
    with st.container(horizontal=True):
        for label, render, ending, mime, icon, kind in forms:
            data, file = made(render), f"{name}.{ending}"
            st.download_button(label, data, file, mime, key=f"{key}-{ending}", icon=icon, on_click="ignore", type=kind)
    st.caption(
        "Model, data, calibration, sensitivity, plan, training, speed and advice, with the commands that make every "
        f"number again. On the command line: {code(command)}"
    )
