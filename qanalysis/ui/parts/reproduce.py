"""Take it with you: a result as JSON, its table as CSV, a figure as standalone HTML; and the same run as code."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from qanalysis.names import imports_code
from qanalysis.schema import configuration
from qanalysis.schema.command import code as program
from qanalysis.schema.command import command, run_file
from qanalysis.schema.params.task import TaskParams
from qanalysis.schema.results.common import Result
from qanalysis.ui.parts.text import code


def reproduce(
    analysis: str, result: Result, params: TaskParams, table: pd.DataFrame, html: Callable[[], str], name: str
) -> None:
    """Draws the downloads and the code.

    Args:
        analysis: name of the analysis.
        result: what is downloaded as JSON.
        params: its parameters.
        table: what is downloaded as CSV.
        html: makes the standalone page when it is asked for.
        name: file name without ending.
    """
    with st.expander("Download, or make the same yourself", icon=":material/download:"):
        columns = st.columns(3)
        columns[0].download_button(
            "Table (CSV)", table.to_csv(index=False), f"{name}.csv", "text/csv", key=f"csv-{name}", width="stretch"
        )
        columns[1].download_button(
            "Result (JSON)",
            result.model_dump_json(indent=1),
            f"{name}.json",
            "application/json",
            key=f"json-{name}",
            width="stretch",
        )
        columns[2].download_button(
            "Figure (HTML, works offline)", html, f"{name}.html", "text/html", key=f"html-{name}", width="stretch"
        )
        st.caption("Every figure has buttons for PNG and SVG at its top right.")
        st.markdown("As a configuration file, complete, with the plan if there is one:")
        toml = configuration.to_toml(analysis, params)
        st.code(toml, language="toml", height=220 if toml.count("\n") > 9 else "content")
        st.download_button(
            "Configuration (TOML)",
            toml,
            f"{name}.toml",
            "application/toml",
            key=f"toml-{name}",
            icon=":material/download:",
            on_click="ignore",
        )
        imports = imports_code(params.model) or imports_code(params.data)
        line, argument = run_file(f"{name}.toml", imports_code=imports), ", allow_python=True" if imports else ""
        st.caption(f'Run it with {code(line)}, or in Python with `qanalysis.run_file("{name}.toml"{argument})`.')
        st.markdown("On the command line:")
        st.code(command(analysis, params), language="bash", wrap_lines=True)
        st.markdown("In Python:")
        st.code(program(analysis, params), language="python")
