"""Table 8: fixed and learned ranges, each from max and from the best calibration, started with one button."""

import pandas as pd
import streamlit as st

from qanalysis import figures
from qanalysis.figures.qat.accuracy import RunCurves
from qanalysis.insight.words import calibration_label
from qanalysis.jobs import runners
from qanalysis.jobs.runner import Runner
from qanalysis.jobs.state import Job
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.qat import BEST, QatParams, Ranges
from qanalysis.ui.parts.chart import chart, theme
from qanalysis.ui.parts.outcome import change
from qanalysis.ui.parts.text import plain
from qanalysis.ui.qat.progress import Progress
from qanalysis.ui.qat.runs import relative_change

_SECONDS = 1.0
_RANGES: dict[Ranges, str] = {"fixed": "QAT, fixed ranges", "learned": "QAT, learned ranges"}
#: Cell of the grid: ranges, and the calibration to start from.
Cell = tuple[Ranges, str]


def cells(params: QatParams) -> dict[Cell, QatParams]:
    """The runs of the table: the page's settings with each kind of ranges and each start.

    None of them trains the control, which is the same for all. Where a plan names the calibration, it takes the place
    of the best one. Learned ranges are symmetric, so all runs are.
    """
    plan = params.plan
    starts = dict.fromkeys(("max", BEST if plan is None else plan.calibration))
    found: dict[Cell, QatParams] = {}
    for ranges in _RANGES:
        for start in starts:
            values = {"ranges": ranges, "calibration": start, "control": False, "activation_scheme": "scale"}
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
    if params.plan is not None and params.plan.plan.activation_scheme != "scale":
        st.info(
            "The plan in force has affine activations, but learned ranges are symmetric: choose another plan.",
            icon=":material/block:",
        )
        return
    if params.activation_scheme != "scale":
        st.caption("Learned ranges are symmetric: these runs use scale activations, whatever the settings say.")
    grid = cells(params)
    try:
        runner = runners.chosen()
        jobs = _jobs(runner, grid)
    except (OSError, UserError) as error:
        st.error(plain(error))
        return
    wanted = missing(grid, jobs)
    if wanted:
        what = f"these {len(grid)}" if len(wanted) == len(grid) else f"the missing {len(wanted)} of these {len(grid)}"
        if st.button(f"Run {what}", type="primary", key="qat-grid-start", icon=":material/play_arrow:"):
            change(lambda: _start(runner, wanted))
    if all(job is None for job in jobs.values()):
        return
    live = any(job is not None and job.live for job in jobs.values())

    @st.fragment(run_every=_SECONDS if live else None)
    def panel() -> None:
        try:
            runner.pump()
            now = _jobs(runner, grid)
            told = {cell: Progress.of(job, runner.store) for cell, job in now.items() if job is not None}
        except (OSError, UserError) as error:
            st.error(f"A run cannot be read: {plain(error)}")
            return
        if live and not any(job is not None and job.live for job in now.values()):
            st.rerun()
        if live and st.button("Cancel all", key="qat-grid-cancel", icon=":material/stop_circle:"):
            change(lambda: _cancel(runner, now))
        _draw(now, told)

    panel()


def _start(runner: Runner, wanted: list[QatParams]) -> None:
    for params in wanted:
        runner.submit("qat", params)


def _cancel(runner: Runner, jobs: dict[Cell, Job | None]) -> None:
    for job in reversed(jobs.values()):  # those that wait first, or each would start for a moment
        if job is not None and job.live:
            runner.cancel(job.id)


def missing(grid: dict[Cell, QatParams], jobs: dict[Cell, Job | None]) -> list[QatParams]:
    """What is still to be run: cells without a job that ended well or runs, and the control once."""
    good = {cell: job for cell, job in jobs.items() if job is not None and (job.live or job.state == "finished")}
    controlled = any(isinstance(job.params, QatParams) and job.params.control for job in good.values())
    cells_ = [cell for cell in grid if cell not in good] or ([] if controlled else [next(iter(grid))])
    wanted = [grid[cell] for cell in cells_]
    return wanted if controlled else [wanted[0].model_copy(update={"control": True}), *wanted[1:]]


def _jobs(runner: Runner, grid: dict[Cell, QatParams]) -> dict[Cell, Job | None]:
    """The newest job of each cell, with the control or without: one that ended well or runs before any other."""
    found: dict[Cell, Job | None] = {}
    for cell, params in grid.items():
        kinds = [runner.store.latest("qat", params.model_copy(update={"control": one})) for one in (True, False)]
        jobs = [job for job in kinds if job is not None]
        well = [job for job in jobs if job.live or job.state == "finished"]
        found[cell] = next(iter([*well, *jobs]), None)
    return found


def _draw(jobs: dict[Cell, Job | None], told: dict[Cell, Progress]) -> None:
    table = frame(jobs, told)
    st.dataframe(table, hide_index=True)
    st.caption(
        "Accuracy in %, and in brackets the change relative to fp32, of the epoch that was kept. A "
        "run that is not finished shows how far it is."
    )
    started = [(cell, job, told[cell]) for cell, job in jobs.items() if job is not None]
    runs = [
        RunCurves(f"{ranges} from {_start_name(start)}", one.course("qat").epochs, live=job.live)
        for (ranges, start), job, one in started
    ]
    control = next((epochs for _, _, one in started if (epochs := one.course("fp32").epochs)), ())
    runs += [RunCurves("fp32 control", control=control)] if control else []
    chart(
        figures.qat.accuracy.comparison(
            runs,
            fp32=_known(told, "fp32"),
            metric=next(iter(told.values())).metric,
            last=max(progress.last_epoch for _, _, progress in started),
            theme=theme(),
        ),
        key="qat-grid",
        file="qat-table8",
        how_to_read=figures.qat.accuracy.HOW_TO_READ["comparison"],
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
    share = relative_change(value, fp32)
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
