"""The QAT page: fine-tune the quantized network, watch it, and see what training gains (Tables 7 and 8)."""

import streamlit as st

from qanalysis.insight.words import calibration_label
from qanalysis.jobs.runner import Runner
from qanalysis.jobs.state import Job
from qanalysis.jobs.store import Store
from qanalysis.jobs.summary import duration
from qanalysis.schema import requests
from qanalysis.schema.results.qat import QatResult
from qanalysis.ui.parts import selection
from qanalysis.ui.parts.outcome import outcome
from qanalysis.ui.parts.text import plain
from qanalysis.ui.qat import charts, compare, result, table8
from qanalysis.ui.qat.progress import Progress
from qanalysis.ui.qat.settings import settings

_VIEWS = ("One run", "Table 8", "Compare runs")


def page() -> None:
    """Draws the page."""
    st.title("Quantization-aware training")
    st.markdown(
        "Where calibration alone loses too much, a short fine-tune teaches the network to live with rounding: every "
        "step sees rounded weights and activations, and the gradients pass the rounding by as if it were not there."
    )
    chosen = selection.current()
    selection.plan_note(chosen.plan)
    view = st.segmented_control(
        "View",
        _VIEWS,
        default=_VIEWS[0],
        key="qat-view",
        bind="query-params",
        required=True,
        label_visibility="collapsed",
    )
    if view == "Compare runs":
        compare.view(chosen)
        return
    st.query_params.pop(compare.RUNS, None)
    params = settings(chosen)
    if params is None:
        return
    if view == "Table 8":
        table8.view(params)
    else:
        found = outcome("qat", params, QatResult, button="Start training", what="QAT", live=_live, actions=_stop_button)
        if found is not None:
            result.finished(*found)


def _stop_button(runner: Runner, job: Job) -> None:
    """Ends training early and keeps what it has."""
    folder = runner.store.folder(job.id)
    asked = requests.stop_asked(folder)
    trains = job.state == "running" and job.stage.startswith("training")
    if st.button(
        "Stopping …" if asked and trains else "Stop and keep",
        key=f"stop-{job.id}",
        width="stretch",
        disabled=asked or not trains,
        help="Ends training after the current step; the epoch to keep so far becomes the result.",
    ):
        try:
            requests.ask_to_stop(folder)
        except OSError as error:
            st.error(f"The run cannot be asked to stop: {plain(error)}.")
        else:
            st.rerun(scope="fragment")


def _live(job: Job) -> None:
    """What a running fine-tune has found so far."""
    progress = Progress.of_job(job)
    trace = charts.trace_of(Store().folder(job.id))
    phase = "fp32" if progress.course("fp32").epochs else "qat"
    now, quantized = progress.course(phase), progress.course("qat")  # type: ignore[arg-type]
    row = now.steps[-1] if now.steps else None
    columns = st.columns(6)
    columns[0].metric("fp32", "…" if progress.fp32 is None else f"{progress.fp32:.2f} %")
    label = f"PTQ, {calibration_label(progress.calibration)}" if progress.calibration else "PTQ"
    columns[1].metric(label, "…" if progress.ptq is None else f"{progress.ptq:.2f} %")
    latest = quantized.epochs[-1] if quantized.epochs else None
    gain = None if latest is None or progress.ptq is None else f"{latest.accuracy - progress.ptq:+.2f} points"
    columns[2].metric(
        "QAT so far" if latest is None or not latest.epoch else f"QAT, epoch {latest.epoch}",
        "…" if latest is None else f"{latest.accuracy:.2f} %",
        gain if latest is not None and latest.epoch else None,
    )
    name = "Learning rate" if phase == "qat" else "Learning rate, control"
    columns[3].metric(name, "…" if row is None else f"{row.learning_rate:.2g}")
    columns[4].metric("Samples per second", "…" if row is None else f"{row.images_per_second:,.0f}")
    columns[5].metric("Time left", "…" if job.eta is None else _rounded(job.eta))
    charts.draw(progress, trace, charts.ranges_now(trace, progress.before), "qat")


def _rounded(seconds: float) -> str:
    """A time in one unit, since nobody can tell it better."""
    return (
        duration(seconds)
        if seconds < 60
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )
