"""The script that Streamlit runs for every page: frame, navigation, and the choice of model and data."""

from pathlib import Path

import streamlit as st

from qanalysis.ui import selection

PAGES = Path(__file__).parents[2] / "pages"

st.set_page_config(page_title="Quantization analysis", page_icon=":material/grid_on:", layout="wide")
st.html(Path(__file__).with_name("style.css"))
page = st.navigation(
    {
        "": [st.Page(PAGES / "0_Home.py", title="Home", icon=":material/home:", default=True)],
        "Workflow": [
            st.Page(PAGES / "1_Calibration.py", title="Calibration", icon=":material/tune:", url_path="calibration"),
            st.Page(PAGES / "2_PTQ.py", title="PTQ", icon=":material/compress:", url_path="ptq"),
        ],
    }
)
selection.sidebar()
page.run()
