"""One job on the jobs page: its state and settings, what it printed and made, and what can be done with it."""

import time
from collections.abc import Callable
from html import escape
from urllib.parse import quote

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from qanalysis.jobs.runner import Runner
from qanalysis.jobs.state import Job, State
from qanalysis.jobs.store import LONGEST_NOTE, MEASURED, RESULT
from qanalysis.jobs.summary import duration, settings, size
from qanalysis.schema.errors import UserError
from qanalysis.ui import navigation
from qanalysis.ui.parts.outcome import JOB, change, told
from qanalysis.ui.parts.text import code, plain

ICONS: dict[State, str] = {
    "queued": ":material/hourglass_top:",
    "running": ":material/sync:",
    "finished": ":material/check_circle:",
    "failed": ":material/error:",
    "cancelled": ":material/block:",
    "lost": ":material/power_off:",
}
COLOURS: dict[State, str] = {
    "queued": "violet",
    "running": "blue",
    "finished": "green",
    "failed": "red",
    "cancelled": "gray",
    "lost": "orange",
}
#: The page that shows the result of an analysis, and what else its address has to say.
_PAGES: dict[str, tuple[Callable[[], StreamlitPage], dict[str, str]]] = {
    "evaluate": (navigation.home, {}),
    "workflow": (navigation.home, {}),
    "calibrate": (navigation.calibration, {}),
    "weights": (navigation.calibration, {"view": "Weights"}),
    "ptq": (navigation.ptq, {}),
    "sensitivity": (navigation.sensitivity, {}),
    "partial": (navigation.sensitivity, {}),
    "qat": (navigation.qat, {}),
    "benchmark": (navigation.benchmark, {}),
    "fastest": (navigation.benchmark, {"benchmark-view": "Accuracy against speed"}),
    "export": (navigation.benchmark, {"benchmark-view": "Export"}),
}


def draw(runner: Runner, job_id: str) -> None:
    """Draws a job."""
    try:
        job = runner.store.job(job_id)
    except KeyError as error:  # deleted by somebody else in this moment
        st.warning(plain(error.args[0]))
        return
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(job.state, icon=ICONS[job.state], color=COLOURS[job.state])  # type: ignore[arg-type]
            st.markdown(f"**{job.analysis}** of {code(job.params.model)} on {code(job.params.data)}")
        _progress(job)
        if job.headline:
            st.markdown(f":material/flag: {plain(job.headline)}")
        _buttons(runner, job)
        _note(runner, job)
        columns = st.columns(2)
        with columns[0]:
            _facts(job)
        with columns[1]:
            _files(runner, job)
        if log := runner.logs(job.id):
            with st.expander("What it printed", icon=":material/terminal:"):
                st.code(log, language="text", height=320)


def _progress(job: Job) -> None:
    if job.live:
        st.progress(job.progress, text=told(job))
    elif job.error:
        show = st.warning if job.state == "lost" else st.error
        show(job.error)


def _buttons(runner: Runner, job: Job) -> None:
    kept = (runner.store.folder(job.id) / MEASURED).is_dir()
    with st.container(horizontal=True, vertical_alignment="center"):
        if job.analysis in _PAGES:
            page, more = _PAGES[job.analysis]
            st.page_link(
                page(), label=f"Open on {page().title}", icon=":material/open_in_new:", query_params=address(job) | more
            )
        if job.live:
            if st.button("Cancel", key=f"cancel-{job.id}", icon=":material/stop_circle:"):
                change(lambda: runner.cancel(job.id))
            return
        if (
            job.state != "finished"
            and kept
            and st.button(
                "Resume", key=f"resume-{job.id}", icon=":material/resume:", help="Goes on from what was measured."
            )
        ):
            change(lambda: runner.resume(job.id))
        if st.button("Start over", key=f"retry-{job.id}", icon=":material/refresh:"):
            change(lambda: runner.retry(job.id))
        pin = "Unpin" if job.pinned else "Pin"
        if st.button(pin, key=f"pin-{job.id}", icon=":material/push_pin:", help="Pinned jobs come first and stay."):
            change(lambda: runner.store.label(job.id, pinned=not job.pinned))
        with st.popover("Delete", icon=":material/delete:", disabled=job.pinned):
            st.markdown("Delete this job, its result and its files? This cannot be undone.")
            if st.button("Delete for good", key=f"delete-{job.id}", type="primary"):
                change(lambda: _delete(runner, job.id))


def _note(runner: Runner, job: Job) -> None:
    key = f"note-{job.id}"

    def write() -> None:
        try:
            runner.store.label(job.id, note=st.session_state[key])
        except (KeyError, OSError, UserError) as error:
            st.toast(f"The note was not kept: {plain(error.args[0])}", icon=":material/error:")

    st.text_input(
        "Note",
        job.note,
        key=key,
        max_chars=LONGEST_NOTE,
        placeholder="A note: why it was run, what it showed",
        icon=":material/edit_note:",
        label_visibility="collapsed",
        on_change=write,
    )


def _delete(runner: Runner, job_id: str) -> None:
    runner.delete(job_id)
    st.query_params.pop(JOB, None)


def address(job: Job) -> dict[str, str]:
    """What the address of a page says to show this job."""
    return {"model": job.params.model, "data": job.params.data, JOB: job.id}


def _facts(job: Job) -> None:
    facts = {"id": job.id, "created": time.strftime("%d %b %Y, %H:%M:%S", time.localtime(job.created))}
    if job.seconds:
        facts["took" if job.ended else "runs for"] = duration(job.seconds)
    if job.device:
        facts["device"] = job.device
    if job.attempts > 1:
        facts["attempts"] = str(job.attempts)
    _list("Settings", {**facts, **settings(job.params)})


def _files(runner: Runner, job: Job) -> None:
    files = runner.store.files(job.id)
    _list("Files", {name: size(count) for name, count in files.items()} or {"none yet": ""})
    folder = runner.store.folder(job.id)
    st.caption(f"In {code(folder)}")
    path = folder / RESULT
    if job.state == "finished" and path.is_file():
        st.download_button(
            "Result (JSON)",
            path.read_bytes,
            f"{quote(job.id)}.json",
            "application/json",
            key=f"json-{job.id}",
            icon=":material/download:",
            on_click="ignore",
        )
        st.caption(f"For TensorBoard or MLflow: `qanalysis jobs log {job.id} tensorboard:runs`")


def _list(title: str, entries: dict[str, str]) -> None:
    """Names and values in two columns, without the lines of a table."""
    cells = "".join(
        f"<span style='opacity:.65'>{escape(name)}</span><span style='overflow-wrap:anywhere'>{escape(text)}</span>"
        for name, text in entries.items()
    )
    grid = "display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.2rem;font-size:.9rem"
    st.markdown(f"**{plain(title)}**")
    st.html(f"<div style='{grid}'>{cells}</div>")
