"""The dashboard of an installed package: what `qanalysis dashboard` starts."""

import streamlit as st

from qanalysis.ui.serving import SCRIPT, SERVING

app = st.App(SCRIPT, **SERVING)
