"""The pages, in the order of the paper's workflow; links between them keep the choice of model and data."""

from typing import Any

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from qanalysis.schema.catalog import beside

_FOLDER = beside("pages")
_GOING = "going-to"


def home() -> StreamlitPage:
    """Where the dashboard opens."""
    return st.Page(_FOLDER / "0_Home.py", title="Home", icon=":material/home:", default=True)


def calibration() -> StreamlitPage:
    """Histograms and cutoffs."""
    return st.Page(_FOLDER / "1_Calibration.py", title="Calibration", icon=":material/tune:", url_path="calibration")


def ptq() -> StreamlitPage:
    """Accuracy after quantization."""
    return st.Page(_FOLDER / "2_PTQ.py", title="PTQ", icon=":material/compress:", url_path="ptq")


def sensitivity() -> StreamlitPage:
    """Which layers hurt, and which to leave in floating point."""
    return st.Page(_FOLDER / "3_Sensitivity.py", title="Sensitivity", icon=":material/sort:", url_path="sensitivity")


def qat() -> StreamlitPage:
    """Fine-tuning of the quantized network."""
    return st.Page(_FOLDER / "4_QAT.py", title="QAT", icon=":material/model_training:", url_path="qat")


def compare() -> StreamlitPage:
    """Runs side by side."""
    return st.Page(_FOLDER / "8_Compare.py", title="Compare", icon=":material/compare_arrows:", url_path="compare")


def benchmark() -> StreamlitPage:
    """Engines: the file, what it gains, accuracy against speed."""
    return st.Page(_FOLDER / "5_Benchmark.py", title="Benchmark", icon=":material/speed:", url_path="benchmark")


def learn() -> StreamlitPage:
    """The paper's fundamentals, lesson by lesson."""
    return st.Page(_FOLDER / "6_Learn.py", title="Learn", icon=":material/school:", url_path="learn")


def jobs() -> StreamlitPage:
    """Everything that runs, waits or ran."""
    return st.Page(_FOLDER / "7_Jobs.py", title="Jobs", icon=":material/list_alt:", url_path="jobs")


def link(page: StreamlitPage, label: str) -> None:
    """A link to another page that carries model, data and plan along."""
    query = {key: value for key in ("model", "data", "plan") if (value := st.query_params.get(key))}
    st.page_link(page, label=label, icon=page.icon, query_params=query)


def go(page: StreamlitPage, **choice: Any) -> None:
    """Opens another page with other choices, by the keys of their widgets; a callback, as of a button.

    A link cannot do that: what was chosen in a session counts more than what the address of a link says.
    """
    st.session_state[_GOING] = (page.url_path, choice)


def arrive(page: StreamlitPage, pages: list[StreamlitPage]) -> None:
    """Goes on to where `go` wants to, or makes its choices there; called before any widget is drawn.

    Args:
        page: the one that is open.
        pages: all of them.
    """
    if _GOING not in st.session_state:
        return
    path, choice = st.session_state[_GOING]
    target = next(one for one in pages if one.url_path == path)
    if page.url_path != path:
        st.switch_page(target, query_params={})  # without, it refuses to leave an address that widgets are bound to
    del st.session_state[_GOING]
    for key, value in choice.items():
        st.session_state[key] = value
