"""The result of an analysis on a page: found in the store, or made by a job while the page shows how far it is."""

import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

import streamlit as st

from qanalysis.insight.words import calibration_label
from qanalysis.jobs import runners
from qanalysis.jobs.runner import Runner
from qanalysis.jobs.state import Job
from qanalysis.jobs.store import MEASURED, Store
from qanalysis.jobs.summary import duration, settings
from qanalysis.schema.errors import StoreError, UserError, sentence
from qanalysis.schema.params.task import TaskParams
from qanalysis.schema.results.common import Result
from qanalysis.ui.parts.results import loaded
from qanalysis.ui.parts.text import code, plain

R = TypeVar("R", bound=Result)
#: Query parameter that shows one job, whatever the settings of the page are.
JOB = "job"
_ENDED = {"failed": "did not work", "cancelled": "was cancelled", "lost": "was interrupted"}


def outcome(
    analysis: str,
    params: TaskParams,
    result_type: type[R],
    *,
    button: str,
    what: str,
    auto: bool = False,
    live: Callable[[Job], None] | None = None,
    actions: Callable[[Runner, Job], None] | None = None,
) -> tuple[R, Job] | None:
    """The finished result and its job, or None after drawing what there is instead: a button, progress, an error.

    A page that is opened with `?job=ID` shows that job, with its own parameters, which are the result's, too.

    Args:
        analysis: name of the analysis.
        params: its parameters; the newest job with exactly these is the one shown.
        result_type: class of the result.
        button: text of the button that starts it.
        what: what is being done, for the progress bar, e.g. "Measuring accuracy".
        auto: start without being asked if it was never run.
        live: draws what a running job has found so far, from its `rows` or its `table`.
        actions: draws what else can be done with a live job, beside the button that cancels it.
    """
    try:
        runner = runners.chosen()
        opened = _opened(runner.store, analysis)
        if opened is None and auto:
            runner.submit_first(analysis, params)
        job = opened or runner.store.latest(analysis, params)
    except KeyError as error:
        st.warning(plain(error.args[0]), icon=":material/search_off:")
        _back()
        return None
    except (OSError, UserError) as error:
        st.error(plain(sentence(error) or error), icon=":material/error:")
        return None
    if job is None:
        if st.button(button, type="primary", key=f"start-{analysis}", icon=":material/play_arrow:"):
            change(lambda: runner.submit(analysis, params))
        return None
    if opened is not None:
        _own_settings(job)
    if job.live:
        _watch(runner, job, what, live, actions)
        return None
    if job.state != "finished":
        ended(runner, job, what)
        return None
    try:
        return cast(R, loaded(job)), job
    except UserError as error:
        st.error(plain(error))
        _again(runner, job)
        return None


def _opened(store: Store, analysis: str) -> Job | None:
    """The job that the URL names, if it is of this analysis."""
    job_id = st.query_params.get(JOB)
    job = store.job(job_id) if job_id else None
    return job if job is not None and job.analysis == analysis else None


def _own_settings(job: Job) -> None:
    given = ", ".join(f"{name} {value}" for name, value in settings(job.params).items()) or "all defaults"
    when = time.strftime("%d %b %Y, %H:%M", time.localtime(job.created))
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(
            f":material/history: **One run of {when}**, whatever is chosen above or in the sidebar: "
            f"{code(job.params.model)} on {code(job.params.data)}; {plain(given)}."
        )
        _back()


def _back() -> None:
    if st.button("Back to the current settings", key="leave-job", icon=":material/arrow_back:"):
        del st.query_params[JOB]
        st.rerun()


def _watch(
    runner: Runner,
    shown: Job,
    what: str,
    live: Callable[[Job], None] | None,
    actions: Callable[[Runner, Job], None] | None,
) -> None:
    looked_again = False

    @st.fragment(run_every=0.5)
    def panel() -> None:
        nonlocal looked_again
        try:
            runner.pump()
            job = runner.store.job(shown.id)
        except KeyError:  # deleted by somebody else
            st.rerun()
        except (OSError, StoreError) as error:
            st.error(plain(f"{error} It is tried again."))
            return
        if job.state == "lost" and not looked_again:
            looked_again = True  # the signal that ended a process is noted a moment after its end
        elif not job.live:
            st.rerun()
        columns = st.columns([6, 1] if actions is None else [6, 1.4, 1], vertical_alignment="bottom")
        columns[0].progress(job.progress, text=f"{what} · {told(job)}")
        if actions is not None:
            with columns[1]:
                actions(runner, job)
        if columns[-1].button("Cancel", key=f"cancel-{job.id}", width="stretch"):
            change(lambda: runner.cancel(job.id))
        if live is not None and (job.rows or job.table is not None):
            live(job)

    panel()


def told(job: Job) -> str:
    """How far a live job is, and how long it will still take, on one line."""
    if job.state == "queued":
        return f"waiting: {job.waits or 'it is next'}"
    parts = [f"{calibration_label(job.stage)} {job.done:,} of {job.total:,}" if job.total else "starting"]
    parts.append(duration(job.seconds))
    if job.eta is not None:
        parts.append(f"about {duration(job.eta)} left" + ("" if job.share is not None else " in this step"))
    return " · ".join(parts)


def ended(runner: Runner, job: Job, what: str) -> None:
    """What became of a job that gave no result, and how to go on."""
    message = f"{what} {_ENDED[job.state]}." + (f" {plain(job.error)}" if job.error else "")
    if job.state == "cancelled":
        st.info(message, icon=":material/block:")
    elif job.state == "lost":
        st.warning(message, icon=":material/power_off:")
    else:
        st.error(message, icon=":material/error:")
    _again(runner, job)
    if job.state != "cancelled" and (log := runner.logs(job.id)):
        with st.expander("What the job printed", icon=":material/terminal:"):
            st.code(log, language="text", height=320)


def _again(runner: Runner, job: Job) -> None:
    """Buttons that go on from what was measured, where something was, or start over."""
    kept = (runner.store.folder(job.id) / MEASURED).is_dir() and job.state != "finished"
    with st.container(horizontal=True):
        if kept and st.button(
            "Resume",
            type="primary",
            key=f"resume-{job.id}",
            icon=":material/resume:",
            help="Goes on from what was measured.",
        ):
            change(lambda: runner.resume(job.id))
        if st.button("Start over" if kept else "Run again", key=f"retry-{job.id}", icon=":material/refresh:"):
            change(lambda: runner.retry(job.id))


def change(action: Callable[[], object]) -> None:
    """Does something to a job and draws the page anew, or says in a sentence why it cannot be done."""
    try:
        action()
    except KeyError as error:
        st.error(plain(error.args[0]))
    except (OSError, UserError) as error:
        st.error(plain(error))
    else:
        st.rerun()


def notes(result: Any) -> None:
    """Warnings of a result, above everything that rests on it."""
    for warning in (*result.warnings, *result.data.warnings):
        st.warning(plain(warning), icon=":material/info:")
