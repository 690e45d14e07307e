"""The result of an analysis on a page: found in the store, or made by a job while the page shows how far it is."""

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar, cast

import streamlit as st

from qanalysis.figures.theme import calibration_label
from qanalysis.jobs import local
from qanalysis.jobs.store import Job, Store
from qanalysis.schema.params import TaskParams
from qanalysis.schema.result import Result

R = TypeVar("R", bound=Result)
_ENDED = {"failed": "did not work", "cancelled": "was cancelled", "lost": "was lost"}


def outcome(
    analysis: str,
    params: TaskParams,
    result_type: type[R],
    *,
    button: str,
    what: str,
    auto: bool = False,
    live: Callable[[Job], None] | None = None,
) -> tuple[R, Job] | None:
    """The finished result and its job, or None after drawing what there is instead: a button, progress, an error.

    Args:
        analysis: name of the analysis.
        params: its parameters; the newest job with exactly these is the one shown.
        result_type: class of the result.
        button: text of the button that starts it.
        what: what is being done, for the progress bar, e.g. "Measuring accuracy".
        auto: start without being asked if it was never run.
        live: draws what a running job has found so far.
    """
    try:
        store = Store()
        if auto:
            local.submit_first(store, analysis, params)
        job = store.latest(analysis, params)
    except (OSError, sqlite3.Error, ValueError) as error:
        st.error(
            f"Results cannot be kept: {error}. Free some space, or start the dashboard with QANALYSIS_HOME set to a "
            "folder that can be written to."
        )
        return None
    if job is None:
        if st.button(button, type="primary", key=f"start-{analysis}", icon=":material/play_arrow:"):
            local.submit(store, analysis, params)
            st.rerun()
        return None
    if job.live:
        _watch(job.id, what, live)
        return None
    if job.state != "finished":
        _ended(store, job, analysis, params, what)
        return None
    try:
        return cast(R, _load(job.id)), job
    except ValueError as error:
        st.error(str(error))
        _again(store, analysis, params)
        return None


@st.cache_resource(max_entries=64, show_spinner=False)
def _load(job_id: str) -> Result:
    store = Store()
    return store.result(store.job(job_id))


def _watch(job_id: str, what: str, live: Callable[[Job], None] | None) -> None:
    @st.fragment(run_every=0.5)
    def panel() -> None:
        store = Store()
        job = store.job(job_id)
        if not job.live:
            st.rerun()
        columns = st.columns([6, 1], vertical_alignment="bottom")
        share = job.done / job.total if job.total else 0.0
        stage = f" · {calibration_label(job.stage)} {job.done:,} of {job.total:,}" if job.total else " · starting"
        columns[0].progress(min(share, 1.0), text=f"{what}{stage} · {job.seconds:.0f} s")
        if columns[1].button("Cancel", key=f"cancel-{job_id}", width="stretch"):
            local.cancel(store, job)
            st.rerun()
        if live is not None and job.rows:
            live(job)

    panel()


def _ended(store: Store, job: Job, analysis: str, params: TaskParams, what: str) -> None:
    message = f"{what} {_ENDED[job.state]}." + (f" {job.error}" if job.error else "")
    if job.state == "cancelled":
        st.info(message)
    else:
        st.error(message)
        log = store.log(job.id)
        if log:
            with st.expander("What the job printed"):
                st.code(log, language="text")
    _again(store, analysis, params)


def _again(store: Store, analysis: str, params: TaskParams) -> None:
    if st.button("Run again", key=f"again-{analysis}", icon=":material/refresh:"):
        local.submit(store, analysis, params)
        st.rerun()


def notes(result: Any) -> None:
    """Warnings of a result, above everything that rests on it."""
    for warning in (*result.warnings, *result.data.warnings):
        st.warning(warning, icon=":material/info:")
