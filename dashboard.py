"""The dashboard: `streamlit run dashboard.py`. Pages are in `pages/`, their parts in `qanalysis.ui`."""

from qanalysis.ui.app import app as app
