"""The lesson on results: the paper's tables as charts, with errata, and the reader's own model beside them."""

import pandas as pd
import streamlit as st

from qanalysis.figures.learn import tables
from qanalysis.figures.learn.tables import Line
from qanalysis.insight.words import calibration_label
from qanalysis.jobs.store import Store
from qanalysis.numerics.calibrate import PAPER_CALIBRATIONS
from qanalysis.schema.errors import UserError
from qanalysis.schema.paper import TABLES, PaperTable, paper
from qanalysis.ui.learn import own
from qanalysis.ui.learn.lesson import Lesson
from qanalysis.ui.parts.chart import chart, theme

_ALL = "All tasks"
#: Which page measures a table's columns for the reader's own model.
_PAGES = {
    "3": "Calibration, Weights",
    "4": "Calibration, Weights",
    "5": "PTQ",
    "6": "Sensitivity",
    "7": "QAT",
    "8": "QAT, with the button for Table 8",
    "11": "QAT",
    "12": "PTQ",
}


def lines(number: str, task: str = _ALL) -> list[Line]:
    """Rows of a table in the paper's order, errata ringed.

    Args:
        number: of the table.
        task: only networks for this task.
    """
    table, networks = paper().tables[number], paper().tables["2"]
    ringed: dict[str, set[str]] = {}
    for erratum in paper().errata_of(number):
        if erratum.network is not None and erratum.column in table.columns:
            ringed.setdefault(erratum.network, set()).add(str(erratum.column))
    found = []
    for row in table.rows:
        if task not in (_ALL, networks.row(row.network).task):
            continue
        accuracies = dict(zip(table.columns, row.accuracies, strict=True))
        calibrations = {name: name if name in PAPER_CALIBRATIONS else row.calibration or "" for name in table.columns}
        marks = frozenset(ringed.get(row.network, ()))
        found.append(Line(row.network, row.fp32, accuracies, calibrations, ringed=marks))
    return found


@st.fragment
def _tables() -> None:
    columns = st.columns([2, 1])
    number = columns[0].selectbox(
        "Table",
        TABLES,
        index=TABLES.index("5"),
        format_func=lambda number: f"Table {number}: {paper().tables[number].title}",
        key="learn-table",
        persist_state="session",
    )
    tasks = list(dict.fromkeys(str(row.task) for row in paper().tables["2"].rows))
    task = columns[1].selectbox("Networks for", [_ALL, *tasks], key="learn-task", persist_state="session")
    with st.container(horizontal=True, vertical_alignment="center"):
        shown: tables.Shown = st.segmented_control(
            "Show",
            ("relative", "accuracy"),
            default="relative",
            key="learn-shown",
            required=True,
            persist_state="session",
            label_visibility="collapsed",
        )
        worst = st.toggle("Largest loss first", key="learn-worst", persist_state="session")
        whole = st.toggle("Whole scale", key="learn-whole", disabled=shown == "accuracy", persist_state="session")
    table = paper().tables[number]
    rows = lines(number, task)
    if worst:
        rows.sort(key=lambda row: min(row.shown(column, "relative") for column in row.accuracies))
    mine = _own(number)
    chart(
        tables.table(table.columns, [*([mine] if mine else []), *rows], theme=theme(), shown=shown, whole=whole),
        key="learn-tables",
        file=f"table-{number}",
        how_to_read=tables.HOW_TO_READ["table"],
    )
    if mine is None:
        st.caption(f"Your own model becomes a row here when it has been measured in int8: page {_PAGES[number]}.")
    for erratum in paper().errata_of(number):
        st.warning(
            f"**{erratum.where}.** The paper says: {erratum.printed}. In fact, {erratum.right}. {erratum.why}",
            icon=":material/edit_note:",
        )
    with st.expander("The numbers", icon=":material/table:"):
        st.dataframe(frame(table, number), hide_index=True)


def _own(number: str) -> Line | None:
    """The model that is chosen in the sidebar."""
    model, data = st.session_state.get("model"), st.session_state.get("data")
    if not model or not data:
        return None
    try:
        found = own.own(number, str(model), str(data), Store())
    except (OSError, UserError):  # the Jobs page says what is wrong
        return None
    if found is None:
        return None
    return Line(f"yours: {model}", found.fp32, found.accuracies, found.calibrations, own=True)


def frame(table: PaperTable, number: str) -> pd.DataFrame:
    """A table as it is printed, with the relative changes recomputed."""
    rows = []
    for row in table.rows:
        cells: dict[str, object] = {"network": row.network, "fp32 %": row.fp32}
        if row.calibration is not None:
            cells["calibration"] = calibration_label(row.calibration)
        if number == "6":
            cells |= {"layers": row.layers, "skipped": row.skipped}
        for column, accuracy, relative in zip(table.columns, row.accuracies, row.relative(), strict=True):
            name = calibration_label(column) if column in PAPER_CALIBRATIONS else column
            cells |= {name: accuracy, f"{name}, relative %": round(relative, 2)}
        rows.append(cells)
    return pd.DataFrame(rows)


LESSONS = (
    Lesson(
        name="results",
        title="What the paper measured",
        source="tables 3-8, 11 and 12",
        words="Nineteen networks for six tasks, quantized in every way that the lessons before explain. Losses are "
        "compared **relative to fp32**, because a point of BLEU is not a point of top-1 accuracy.",
        equations=(
            r"\text{relative} = \frac{\mathrm{acc}_{\mathrm{int8}} - \mathrm{acc}_{\mathrm{fp32}}}"
            r"{\mathrm{acc}_{\mathrm{fp32}}}",
        ),
        figure=_tables,
        question="Which calibration would you choose if you could not measure accuracy at all?",
        answer="Look at Table 5 with the largest loss first. Max loses almost everything for Inception v4, and entropy "
        "more than half for BERT; 99.99 % loses more than 3 % for EfficientNet b0 alone. It is seldom the best, but it "
        "fails least. The paper's advice is to measure several: no single one is best for all networks.",
    ),
)
