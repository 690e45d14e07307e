"""The dashboard: `streamlit run dashboard.py`. Pages are in `pages/`, their parts in `qanalysis.ui`."""

import streamlit as st

from qanalysis.ui.serving import SCRIPT, SERVING

app = st.App(SCRIPT, **SERVING)
