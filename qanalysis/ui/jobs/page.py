"""The jobs page: everything that runs, waits or ran, whoever started it, and what can be done with it."""

import zlib
from typing import Any, get_args

import pandas as pd
import streamlit as st

from qanalysis.jobs import runners
from qanalysis.jobs.runner import Runner
from qanalysis.jobs.state import Job, State
from qanalysis.jobs.store import Store
from qanalysis.jobs.summary import duration, settings, size
from qanalysis.schema.errors import StoreError, UserError
from qanalysis.ui.jobs import details
from qanalysis.ui.jobs.details import COLOURS, ICONS
from qanalysis.ui.parts.outcome import JOB
from qanalysis.ui.parts.text import plain

#: Jobs that the table holds at the most.
MOST = 500
_STATES: tuple[State, ...] = get_args(State)


def page() -> None:
    """Draws the page."""
    st.title("Jobs")
    st.markdown(
        "Every measurement is a process of its own. It goes on when this page is closed or the dashboard restarts, "
        "and its result is kept until you delete it."
    )
    columns = st.columns([7, 3], vertical_alignment="bottom")
    states = columns[0].pills(
        "State",
        _STATES,
        selection_mode="multi",
        format_func=lambda state: f"{ICONS[state]} {state}",
        key="job-states",
        bind="query-params",
        label_visibility="collapsed",
    )
    text = columns[1].text_input(
        "Search",
        placeholder="Model, data, analysis, note",
        key="job-search",
        icon=":material/search:",
        label_visibility="collapsed",
    )
    try:
        runner = runners.chosen()
        live = any(job.live for job in runner.store.jobs(MOST))
    except (OSError, UserError) as error:
        st.error(plain(error))
        return

    @st.fragment(run_every=1.0 if live else 5.0)
    def panel() -> None:
        try:
            runner.pump()
            jobs = runner.store.jobs(MOST)
        except (OSError, StoreError) as error:
            st.error(plain(f"{error} It is tried again."))
            return
        if any(job.live for job in jobs) != live:
            st.rerun()
        _panel(runner, jobs, [job for job in jobs if _wanted(job, states, text)])

    panel()


def _panel(runner: Runner, jobs: list[Job], shown: list[Job]) -> None:
    if not jobs:
        st.info(
            "Nothing has been run yet. Open a page of the workflow, for example PTQ, and start it there.",
            icon=":material/inbox:",
        )
        return
    _numbers(runner.store, jobs)
    if not shown:
        st.info("No job fits this filter.", icon=":material/filter_alt_off:")
        return
    chosen = st.query_params.get(JOB)
    if chosen not in [job.id for job in jobs]:
        chosen = shown[0].id
    _table(shown, chosen)
    details.draw(runner, chosen)


def _wanted(job: Job, states: list[State] | None, text: str) -> bool:
    words = f"{job.id} {job.analysis} {job.params.model} {job.params.data} {job.headline} {job.note}".lower()
    return (not states or job.state in states) and text.strip().lower() in words


def _numbers(store: Store, jobs: list[Job]) -> None:
    count = {state: sum(job.state == state for job in jobs) for state in _STATES}
    parts = [f"{ICONS[state]} {count[state]} {state}" for state in _STATES if count[state]]
    st.caption(" &nbsp; ".join([*parts, f":material/hard_drive: {size(_used(str(store.root)))} on disk"]))


@st.cache_data(ttl=20, show_spinner=False)
def _used(root: str) -> int:
    """Bytes of all jobs' files."""
    store = Store()
    return sum(sum(store.files(job.id).values()) for job in store.jobs(10_000)) if root == str(store.root) else 0


def _table(jobs: list[Job], chosen: str) -> None:
    ids = [job.id for job in jobs]
    # A row is known to the browser by its position: another list is another table, with the same job selected.
    key = f"jobs-{zlib.crc32(' '.join(ids).encode()):08x}"

    def select() -> None:
        selection: dict[str, Any] = st.session_state[key]["selection"]
        picked = [*selection["rows"], *(row for row, _ in selection["cells"])]
        fresh = [row for row in picked if ids[row] != chosen]
        if fresh:
            st.query_params[JOB] = ids[fresh[-1]]
        # A click anywhere in a row selects the row; a second one does not take that back.
        row = fresh[-1] if fresh else ids.index(chosen) if chosen in ids else None
        st.session_state[key] = _selection(row)

    st.dataframe(
        _frame(jobs),
        key=key,
        hide_index=True,
        height=35 * min(len(jobs), 9) + 38,
        on_select=select,
        selection_mode=["single-row", "single-cell"],
        selection_default=_selection(ids.index(chosen) if chosen in ids else None),
        column_config={
            "state": st.column_config.MultiselectColumn(
                "State", options=_STATES, color=[COLOURS[state] for state in _STATES], width=100
            ),
            "progress": st.column_config.ProgressColumn(
                "Progress", format="percent", min_value=0, max_value=1, width=110
            ),
            "pinned": st.column_config.TextColumn("📌", width=36, help="Pinned jobs come first."),
            "analysis": st.column_config.TextColumn("Analysis", width=95),
            "found": st.column_config.TextColumn("Found", help="What it measured, in one line."),
            "note": st.column_config.TextColumn("Note", width=120),
            "model": st.column_config.TextColumn("Model"),
            "data": st.column_config.TextColumn("Data", width=120),
            "created": st.column_config.DatetimeColumn("Created", format="D MMM, HH:mm", width=105),
            "took": st.column_config.TextColumn("Took", width=90),
            "settings": st.column_config.TextColumn("Settings", help="What differs from the defaults."),
        },
    )


def _selection(row: int | None) -> Any:
    return {"selection": {"rows": [] if row is None else [row], "columns": [], "cells": []}}


def _frame(jobs: list[Job]) -> pd.DataFrame:
    offset = pd.Timestamp.now().tz_localize(None) - pd.Timestamp.now("UTC").tz_localize(None)
    return pd.DataFrame(
        {
            "state": [[job.state] for job in jobs],
            "progress": [job.progress for job in jobs],
            "pinned": ["📌" if job.pinned else "" for job in jobs],
            "analysis": [job.analysis for job in jobs],
            "found": [job.headline for job in jobs],
            "note": [job.note for job in jobs],
            "model": [job.params.model for job in jobs],
            "data": [job.params.data for job in jobs],
            "created": [pd.Timestamp(job.created, unit="s") + offset.round("min") for job in jobs],
            "took": [duration(job.seconds) if job.seconds else "" for job in jobs],
            "settings": [", ".join(f"{name} {value}" for name, value in settings(job.params).items()) for job in jobs],
        }
    )
