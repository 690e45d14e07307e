"""The report of a model, to take away."""

from collections.abc import Callable, Sequence

import streamlit as st

from qanalysis.report import contents, markdown, web
from qanalysis.report.document import Document
from qanalysis.schema.result import Result


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

    with st.container(horizontal=True):
        st.download_button(
            "Report (HTML, works offline)",
            made(web.render),
            f"{name}.html",
            "text/html",
            key=f"{key}-html",
            icon=":material/lab_profile:",
            on_click="ignore",
            type="primary",
        )
        st.download_button(
            "Report (Markdown)",
            made(markdown.render),
            f"{name}.md",
            "text/markdown",
            key=f"{key}-md",
            icon=":material/description:",
            on_click="ignore",
        )
    st.caption(
        "Model, data, calibration, sensitivity, plan, training, speed and advice, with the commands that make every "
        f"number again. On the command line: `{command}`"
    )
