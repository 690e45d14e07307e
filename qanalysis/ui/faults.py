"""Faults: what a page shows instead of itself where something went wrong."""

import sys
import traceback

import streamlit as st

from qanalysis.schema.errors import fault, sentence
from qanalysis.ui.parts.text import plain


def show(error: Exception) -> None:
    """A sentence that a person can act on; else an apology, with what to report, which the server's log has, too."""
    told = sentence(error)
    if told is not None:
        st.error(plain(told), icon=":material/error:")
        return
    trace = "".join(traceback.format_exception(error))
    print(trace, file=sys.stderr)
    st.error(
        f"{plain(fault(error))} Sorry. Your jobs and results are safe; reload the page, or go on with another one.",
        icon=":material/bug_report:",
    )
    with st.expander("What to report", icon=":material/terminal:"):
        st.code(trace, language="text", height=320)
