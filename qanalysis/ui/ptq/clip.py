"""GELU and Swish clipped, on the PTQ page (Appendix D, Table 12)."""

import pandas as pd
import streamlit as st

from qanalysis import figures
from qanalysis.jobs.state import Job
from qanalysis.schema.params.accuracy import ClipParams
from qanalysis.schema.results.accuracy import PtqResult
from qanalysis.schema.results.clip import ClipResult
from qanalysis.show.tables.accuracy import clip_table
from qanalysis.ui.parts.chart import chart, theme
from qanalysis.ui.parts.outcome import outcome
from qanalysis.ui.parts.reproduce import reproduce
from qanalysis.ui.parts.text import code

_AT = "clip-at"


def section(result: PtqResult) -> None:
    """Draws the button, or what clipping does; nothing for a network without them, or that is clipped already."""
    if not result.model.activations or "clip=" in result.params.model:
        return
    kinds = " and ".join(result.model.activations)
    st.header(f"Clip {kinds}")
    st.markdown(
        f"The negative values of {kinds} are small and its positive ones are not bounded: with a range as wide as the "
        "maximum, all negative values can round to zero. The paper clips BERT's GELU at 10, in the network itself, "
        "and then max calibration is its best (Table 12)."
    )
    at = st.number_input("Clip at", 0.5, 1000.0, 10.0, step=0.5, key=_AT, bind="query-params")
    values = {name: getattr(result.params, name) for name in type(result.params).model_fields}
    found = outcome(
        "clip",
        ClipParams(**values, at=float(at)),
        ClipResult,
        button=f"Clip {kinds} at {at:g}",
        what="Clipping",
        live=_so_far,
    )
    if found is None:
        return
    clipped, _ = found
    table = clip_table(clipped)
    chart(
        figures.ptq.clipped.bars(clipped, theme=theme()),
        key="clip-bars",
        file=f"{clipped.model.architecture}-clip",
        how_to_read=figures.ptq.clipped.HOW_TO_READ["bars"],
    )
    st.dataframe(table, hide_index=True)
    row, plain = clipped.row("max", clipped=True), clipped.row("max", clipped=False)
    if row is not None and plain is not None:
        st.markdown(
            f"With max calibration: {plain.accuracy:.2f} % as it is, **{row.accuracy:.2f} % clipped**, fp32 "
            f"{clipped.fp32:.2f} %. To go on with the clipped network on every page, choose the model "
            f"{code(clipped.clipped_model)}."
        )
    st.button(
        "Go on with the clipped network",
        key="clip-take",
        icon=":material/arrow_forward:",
        on_click=lambda: st.session_state.update(model=clipped.clipped_model),
    )
    reproduce("clip", clipped, clipped.params, table, lambda: _html(clipped), f"{clipped.model.architecture}-clip")


def _html(clipped: ClipResult) -> str:
    return figures.look.export.standalone_html(figures.ptq.clipped.bars(clipped, theme="light"), "Clipped")


def _so_far(job: Job) -> None:
    rows = job.table["rows"] if job.table else job.rows
    shown = [
        {
            "network": "clipped" if row["clipped"] else "as it is",
            "calibration": row["calibration"],
            "accuracy %": round(row["accuracy"], 2),
        }
        for row in rows
    ]
    st.dataframe(pd.DataFrame(shown), hide_index=True)
