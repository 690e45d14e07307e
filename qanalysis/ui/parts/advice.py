"""Advice on a page: cards with the symptom, this model's numbers, and what to do."""

from collections.abc import Sequence

import streamlit as st

from qanalysis.schema.results.advice import Advice
from qanalysis.ui.parts.text import code

_ICONS = {"warning": ":material/warning:", "note": ":material/lightbulb:"}
#: Names of layers that are listed at the most.
_MOST = 12


def cards(given: Sequence[Advice]) -> None:
    """Draws them, one line each that opens; warnings first."""
    if not given:
        return
    st.header("Advice")
    for one in sorted(given, key=lambda advice: advice.severity != "warning"):
        with st.expander(f"**{one.symptom}** {one.remedy}", icon=_ICONS[one.severity]):
            st.markdown(one.evidence)
            if len(one.sites) > 1:
                rest = f" and {len(one.sites) - _MOST} more" if len(one.sites) > _MOST else ""
                st.caption("Layers: " + ", ".join(f"{code(site)}" for site in one.sites[:_MOST]) + rest + ".")
            if one.source:
                st.caption(f"In the paper: {one.source}.")
