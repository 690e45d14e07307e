"""The benchmark page: the network in real engines, in integers and beside floating point (Table 1)."""

import pandas as pd
import streamlit as st

from qanalysis import figures
from qanalysis.jobs.state import Job
from qanalysis.schema.results.benchmark import BenchmarkResult, BenchmarkRow
from qanalysis.show.tables.speed import row_table
from qanalysis.ui.benchmark import export, machine, result, tradeoff
from qanalysis.ui.benchmark.settings import benchmark
from qanalysis.ui.parts import selection
from qanalysis.ui.parts.chart import chart, theme
from qanalysis.ui.parts.outcome import outcome

#: Key of the choice of a view, which is its name in the address.
VIEW = "benchmark-view"
SPEED, TRADEOFF, EXPORT, MACHINE = "Speed", "Accuracy against speed", "Export", "Engines here"


def page() -> None:
    """Draws the page."""
    st.title("Benchmark")
    st.markdown(
        "What int8 is for: the same network as a file for a real engine, with integer kernels. Here you see whether "
        "the engine computes what the simulation promised, how much faster it is, and in which layers."
    )
    chosen = selection.current()
    selection.plan_note(chosen.plan)
    view = st.segmented_control(
        "View",
        (SPEED, TRADEOFF, EXPORT, MACHINE),
        default=SPEED,
        key=VIEW,
        bind="query-params",
        required=True,
        label_visibility="collapsed",
    )
    if view == MACHINE:
        machine.view(chosen)
    elif view == EXPORT:
        export.view(chosen)
    else:
        params = benchmark(chosen)
        if params is None:
            return
        found = outcome(
            "benchmark", params, BenchmarkResult, button="Run the benchmark", what="Benchmark", live=_so_far
        )
        if view == TRADEOFF:
            tradeoff.view(chosen, params, None if found is None else found[0])
        elif found is not None:
            result.finished(*found)


def _so_far(job: Job) -> None:
    """Rows as they are measured, the newest batch size drawn; those of the last table may still move."""
    rows = [BenchmarkRow.model_validate(row) for row in job.rows]
    batches = {row.batch for row in rows}
    moving = [BenchmarkRow.model_validate(row) for row in (job.table or {}).get("rows", ())]
    rows += [row for row in moving if row.batch not in batches]
    if not rows:
        return
    latest = [row for row in rows if row.batch == rows[-1].batch]
    st.header(f"Batch {rows[-1].batch}")
    chart(
        figures.benchmark.latency.latency(latest, theme=theme()),
        key="bench-latency",
        file="latency",
        how_to_read=figures.benchmark.latency.HOW_TO_READ["latency"],
    )
    table: pd.DataFrame = row_table(rows)
    st.dataframe(table, hide_index=True)
