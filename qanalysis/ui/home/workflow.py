"""The workflow on the home page: its chart, the button that runs all of it, and what it recommends."""

from urllib.parse import urlencode

import streamlit as st
from pydantic import ValidationError
from streamlit.navigation.page import StreamlitPage

from qanalysis.jobs import runners
from qanalysis.jobs.runner import Runner
from qanalysis.jobs.state import Job
from qanalysis.jobs.summary import duration
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.workflow import WorkflowParams
from qanalysis.ui import navigation
from qanalysis.ui.home import end
from qanalysis.ui.home.flowchart import flowchart
from qanalysis.ui.home.nodes import STAGES, nodes
from qanalysis.ui.home.state import Standing, standing
from qanalysis.ui.parts.outcome import JOB, change, ended
from qanalysis.ui.parts.selection import Selection
from qanalysis.ui.parts.text import plain

_SECONDS = 1.0
_TITLES = {
    "baseline": "floating point",
    "ptq": "PTQ",
    "sensitivity": "sensitivity of each layer",
    "partial": "partial quantization",
    "speed": "speed of the partial plan",
    "qat": "QAT",
    "benchmark": "speed in an engine",
    "export": "file",
}


def section(chosen: Selection) -> None:
    """Draws it."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.header("The workflow", anchor="workflow")
        with st.popover("Settings", icon=":material/settings:"):
            params = _settings(chosen)
    if params is None:
        return
    try:
        runner = runners.chosen()
        at = standing(runner.store, params)
    except (OSError, UserError) as error:
        st.error(plain(error))
        return
    st.caption(
        f"After Fig. 5 of the paper: each step is tried only if the one before it loses more than {params.target:g} % "
        "of fp32's accuracy. Run it step by step, or all of it at once."
    )
    if at.live is None:
        _draw(runner, at)
        end.draw(at)
    else:
        _watch(runner, params, at)


def _settings(chosen: Selection) -> WorkflowParams | None:
    """The form; None after telling what is wrong with it."""
    columns = st.columns(2)
    planned = chosen.plan is not None
    target = columns[0].number_input(
        "Loss to accept, %", 0.0, 100.0, 1.0, 0.1, key="target", bind="query-params", help="Relative to fp32."
    )
    bits = columns[1].slider(
        "Bits", 2, 8, 8, key="wf-bits", bind="query-params", disabled=planned, help="Of weights and activations."
    )
    skipped = columns[0].number_input(
        "Layers to skip at most",
        0,
        1000,
        10,
        key="wf-skipped",
        bind="query-params",
        help="They stay in floating point. 0 goes from PTQ to QAT.",
    )
    share = columns[1].number_input(
        "Work in integers at least, %", 0.0, 100.0, 80.0, 5.0, key="wf-share", bind="query-params"
    )
    minutes = columns[0].number_input(
        "Minutes in all",
        0.0,
        10_000.0,
        5.0,
        1.0,
        key="wf-minutes",
        bind="query-params",
        help="After that nothing new is begun, and QAT trains for as long as is left. 0 takes what it needs.",
    )
    faster = columns[1].number_input(
        "Speed-up at least",
        0.0,
        100.0,
        0.0,
        0.1,
        key="wf-speedup",
        bind="query-params",
        help="Over fp32 in the runner, with layers in floating point. 0 does not ask.",
    )
    evaluation = columns[0].number_input(
        "Evaluation samples", 1, 100_000, 2000, key="eval-samples", bind="query-params"
    )
    calibrating = columns[1].number_input(
        "Calibration samples", 1, 100_000, 512, key="cal-samples", bind="query-params"
    )
    try:
        return WorkflowParams(
            model=chosen.model,
            data=chosen.data,
            task=chosen.task,
            plan=chosen.plan,
            bits=int(bits),
            target=float(target),
            most_skipped=int(skipped),
            least_int8=float(share),
            least_speedup=float(faster),
            minutes=float(minutes),
            evaluation_samples=int(evaluation),
            calibration_samples=int(calibrating),
        )
    except ValidationError as error:
        st.error(error.errors()[0]["msg"])
        return None


def _watch(runner: Runner, params: WorkflowParams, first: Standing) -> None:
    """The chart while a job runs, drawn again every second."""
    job = first.live
    assert job is not None

    @st.fragment(run_every=_SECONDS)
    def panel() -> None:
        try:
            runner.pump()
            at = standing(runner.store, params)
        except (OSError, UserError) as error:
            st.error(plain(f"{error} It is tried again."))
            return
        if at.live is None or at.live.id != job.id or ("baseline" in at.known.results) != _measured(first):
            st.rerun()
        _draw(runner, at)

    panel()


def _measured(at: Standing) -> bool:
    return "baseline" in at.known.results


def _draw(runner: Runner, at: Standing) -> None:
    links = {key: _address(at, key) for key in STAGES if key != "baseline"}
    addresses = {key: f"{_page(key).url_path}?{urlencode(query)}" for key, query in links.items()}
    opened, run = flowchart(nodes(at), addresses, idle=at.live is None)
    if opened in links:
        # model and data follow by themselves: widgets are bound to them
        st.switch_page(_page(opened), query_params={JOB: links[opened][JOB]} if JOB in links[opened] else {})
    step = at.step
    if run is not None and step is not None and at.live is None and step.stage in STAGES.get(run, ()):
        change(lambda: runner.submit(step.analysis, step.params))
    job = at.live
    if job is not None:
        _progress(runner, at, job)
    else:
        _start(runner, at)


def _progress(runner: Runner, at: Standing, job: Job) -> None:
    if job.analysis == "evaluate":
        return  # the page has its progress already
    columns = st.columns([6, 1], vertical_alignment="bottom")
    stage = "" if at.running is None else _TITLES[at.running]
    if job.state == "queued":
        text = f"Waiting: {job.waits or 'it is next'}"
    elif job.analysis == "workflow":
        text = f"Running the workflow: {stage} · {duration(job.seconds)}"
    else:
        text = f"Running {stage} · {duration(job.seconds)}"
    columns[0].progress(job.progress, text=text)
    if columns[1].button(
        "Stop", key="stop-workflow", width="stretch", help="What was measured is kept; it can go on from there."
    ):
        change(lambda: runner.cancel(job.id))


def _start(runner: Runner, at: Standing) -> None:
    """The button that runs everything that is left, or what became of the last run and how it goes on."""
    whole = at.whole
    if whole is not None and whole.state in ("failed", "cancelled", "lost"):
        ended(runner, whole, "The workflow")
        return
    if at.step is not None:
        left = "Run it all" if "ptq" not in at.known.results else "Run what is left"
        time = f"It ends within about {at.params.minutes:g} minutes." if at.params.minutes else ""
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button(left, type="primary", key="start-workflow", icon=":material/play_arrow:"):
                change(lambda: runner.submit("workflow", at.params))
            st.caption(f"Nothing else to decide. {time} You can stop it and go on later.", width="content")


def _page(key: str) -> StreamlitPage:
    return {
        "ptq": navigation.ptq,
        "partial": navigation.sensitivity,
        "qat": navigation.qat,
        "deploy": navigation.benchmark,
    }[key]()


def _address(at: Standing, key: str) -> dict[str, str]:
    """What the address of a box's page says: this model, and the very run whose result the box shows."""
    query = {"model": at.params.model, "data": at.params.data}
    shown = next((at.jobs[stage] for stage in STAGES[key] if stage in at.jobs), None)
    return query | ({} if shown is None else {JOB: shown.id})
