"""Table 8: fixed and learned ranges, each from max and from the best calibration, started with one button."""

import sqlite3

import pandas as pd
import streamlit as st

from qanalysis import figures
from qanalysis.figures.theme import calibration_label
from qanalysis.jobs import engines
from qanalysis.jobs.engine import Engine
from qanalysis.jobs.state import Job
from qanalysis.schema.params import BEST, QatParams, Ranges
from qanalysis.ui.chart import chart, theme
from qanalysis.ui.outcome import change
from qanalysis.ui.qat_progress import Progress
from qanalysis.ui.qat_runs import relative, run_of

_SECONDS = 1.0
_RANGES: dict[Ranges, str] = {"fixed": "QAT, fixed ranges", "learned": "QAT, learned ranges"}
#: Cell of the grid: ranges, and the calibration to start from.
Cell = tuple[Ranges, str]


def cells(params: QatParams) -> dict[Cell, QatParams]:
    """The runs of the table: the page's settings with each kind of ranges and each start.

    The first one also trains the control, which is the same for all. Where a plan names the calibration, it takes the
    place of the best one.
    """
    plan = params.plan
    starts = dict.fromkeys(("max", BEST if plan is None else plan.calibration))
    found: dict[Cell, QatParams] = {}
    for ranges in _RANGES:
        for start in starts:
            values = {"ranges": ranges, "calibration": start, "control": not found}
            if plan is not None:
                values |= {"plan": plan.model_copy(update={"calibration": start}), "calibration": "best"}
            found[ranges, start] = params.model_copy(update=values)
    return found


def view(params: QatParams) -> None:
    """Draws the view."""
    st.markdown(
        "How much does training make up for a bad calibration? As in the paper's Table 8, ranges start from max and "
        "from the best calibration, and stay fixed or are learned; the control trains as long in floating point."
    )
    if params.minutes is not None:
        st.info(
            "These runs are compared at the same number of steps: choose epochs or steps as the length in the "
            "settings, or another preset.",
            icon=":material/timer_off:",
        )
        return
    grid = cells(params)
    try:
        engine = engines.chosen()
        jobs = _jobs(engine, grid)
    except (OSError, sqlite3.Error, ValueError) as error:
        st.error(f"The runs cannot be read: {error}.")
        return
    wanting = [cell for cell, job in jobs.items() if job is None or not (job.live or job.state == "finished")]
    if wanting:
        some = "the missing ones of " if 0 < len(wanting) < len(grid) else ""
        if st.button(
            f"Run {some}these {len(grid)}", type="primary", key="qat-grid-start", icon=":material/play_arrow:"
        ):
            change(lambda: _start(engine, [grid[cell] for cell in wanting]))
    if all(job is None for job in jobs.values()):
        return
    live = any(job is not None and job.live for job in jobs.values())

    @st.fragment(run_every=_SECONDS if live else None)
    def panel() -> None:
        try:
            engine.pump()
            now = _jobs(engine, grid)
            told = {cell: Progress.of(job, engine.store) for cell, job in now.items() if job is not None}
        except (OSError, sqlite3.Error, ValueError) as error:
            st.error(f"A run cannot be read: {error}")
            return
        if live and not any(job is not None and job.live for job in now.values()):
            st.rerun()
        if live and st.button("Cancel all", key="qat-grid-cancel", icon=":material/stop_circle:"):
            change(lambda: _cancel(engine, now))
        _draw(now, told)

    panel()


def _start(engine: Engine, wanted: list[QatParams]) -> None:
    for params in wanted:
        engine.submit("qat", params)


def _cancel(engine: Engine, jobs: dict[Cell, Job | None]) -> None:
    for job in reversed(jobs.values()):  # those that wait first, or each would start for a moment
        if job is not None and job.live:
            engine.cancel(job.id)


def _jobs(engine: Engine, grid: dict[Cell, QatParams]) -> dict[Cell, Job | None]:
    return {cell: engine.store.latest("qat", params) for cell, params in grid.items()}


def _draw(jobs: dict[Cell, Job | None], told: dict[Cell, Progress]) -> None:
    table = frame(jobs, told)
    st.dataframe(table, hide_index=True)
    st.caption(
        "Accuracy in %, and in brackets the loss relative to fp32. A run that is not finished shows how far it is."
    )
    started = [(cell, job, told[cell]) for cell, job in jobs.items() if job is not None]
    runs = [run_of(f"{ranges} from {_start_name(start)}", one, job.live) for (ranges, start), job, one in started]
    chart(
        figures.qat.comparison(
            runs,
            fp32=_known(told, "fp32"),
            metric=next(iter(told.values())).metric,
            last=max(progress.last_epoch for _, _, progress in started),
            theme=theme(),
        ),
        key="qat-grid",
        file="qat-table8",
        how_to_read=figures.qat.HOW_TO_READ["comparison"],
    )
    st.download_button(
        "Table (CSV)",
        table.to_csv(index=False),
        "qat-table8.csv",
        "text/csv",
        key="csv-qat-grid",
        icon=":material/download:",
    )


def frame(jobs: dict[Cell, Job | None], told: dict[Cell, Progress]) -> pd.DataFrame:
    """The table: kinds of training down, starts across."""
    fp32 = _known(told, "fp32")
    starts = list(dict.fromkeys(start for _, start in jobs))
    first = {start: next((told[cell] for cell in told if cell[1] == start), None) for start in starts}
    ptq: dict[str, float | None] = {start: None if one is None else one.ptq for start, one in first.items()}
    rows = [{"": "fp32"} | {_title(start, told): _number(fp32, None) for start in starts}]
    rows.append({"": "PTQ"} | {_title(start, told): _number(ptq[start], fp32) for start in starts})
    for ranges, name in _RANGES.items():
        cells_ = {_title(start, told): _cell(jobs[ranges, start], told.get((ranges, start))) for start in starts}
        rows.append({"": name} | cells_)
    control = next((one.course("fp32") for one in told.values() if one.course("fp32").epochs), None)
    kept = None
    if control is not None:
        kept = next((e.accuracy for e in control.epochs if e.epoch == control.kept), control.epochs[-1].accuracy)
    rows.append({"": "fp32 control"} | {_title(start, told): _number(kept, fp32) for start in starts})
    return pd.DataFrame(rows)


def _cell(job: Job | None, progress: Progress | None) -> str:
    if job is None or progress is None:
        return "not run"
    if job.live:
        return "waits" if job.state == "queued" else f"{100 * job.progress:.0f} % done"
    if job.state != "finished":
        return job.state
    course = progress.course("qat")
    kept = next((epoch for epoch in course.epochs if epoch.epoch == course.kept), course.epochs[-1])
    return _number(kept.accuracy, progress.fp32)


def _number(value: float | None, fp32: float | None) -> str:
    if value is None:
        return "…"
    share = relative(value, fp32)
    return f"{value:.2f}" if share is None else f"{value:.2f} ({share:+.2f})"


def _known(told: dict[Cell, Progress], name: str) -> float | None:
    return next((value for one in told.values() if (value := getattr(one, name)) is not None), None)


def _title(start: str, told: dict[Cell, Progress]) -> str:
    if start != BEST:
        return f"from {calibration_label(start)}"
    found = next((one.calibration for (_, s), one in told.items() if s == BEST and one.calibration), "")
    return f"from the best ({calibration_label(found)})" if found else "from the best"


def _start_name(start: str) -> str:
    return "the best" if start == BEST else calibration_label(start)
