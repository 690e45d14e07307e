"""The script that Streamlit runs for every page: frame, navigation, and the choice of model and data."""

from pathlib import Path

import streamlit as st

from qanalysis.ui import faults, navigation
from qanalysis.ui.home import tour
from qanalysis.ui.parts import selection

st.set_page_config(page_title="Quantization analysis", page_icon=Path(__file__).with_name("icon.png"), layout="wide")
st.html(Path(__file__).with_name("style.css"))
pages = {
    "": [navigation.home()],
    "Workflow": [
        navigation.calibration(),
        navigation.ptq(),
        navigation.sensitivity(),
        navigation.qat(),
        navigation.benchmark(),
    ],
    "Runs": [navigation.compare(), navigation.jobs()],
    "Learn": [navigation.learn()],
}
page = st.navigation(pages)
navigation.arrive(page, [one for section in pages.values() for one in section])
try:
    selection.sidebar()
    tour.card(page)
    page.run()
except Exception as error:  # what Streamlit itself raises to stop or to run again is no Exception
    faults.show(error)
