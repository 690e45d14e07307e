"""Any number of fine-tunes in one chart."""

from urllib.parse import quote

import pandas as pd
import streamlit as st

from qanalysis import figures
from qanalysis.jobs import runners
from qanalysis.jobs.state import Job
from qanalysis.jobs.summary import duration
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.qat import QatParams
from qanalysis.ui.parts.chart import chart, theme
from qanalysis.ui.parts.outcome import JOB
from qanalysis.ui.parts.selection import Selection
from qanalysis.ui.parts.text import plain
from qanalysis.ui.qat.progress import Progress
from qanalysis.ui.qat.runs import names, relative_change, run_of, runs_of

#: Ids of the runs in the address, and the key of the widget: names depend on what other runs there are.
RUNS, _KEY = "runs", "qat-runs"
#: Runs that are chosen at first.
_AT_FIRST = 4
_SECONDS = 1.0


def view(chosen: Selection) -> None:
    """Draws the view."""
    try:
        runner = runners.chosen()
        jobs = runs_of(runner.store, chosen.model, chosen.data)
    except (OSError, UserError) as error:
        st.error(plain(error))
        return
    if not jobs:
        st.info(
            "This model has not been trained on this data yet. Start a run, or the four of Table 8, and come back.",
            icon=":material/inbox:",
        )
        return
    called = names(jobs)
    if _KEY not in st.session_state:
        asked = [job for job in st.query_params.get(RUNS, "").split(",") if job in called]
        st.session_state[_KEY] = asked or list(called)[:_AT_FIRST]
    else:  # a run that was deleted meanwhile, or belongs to another model, cannot be drawn
        st.session_state[_KEY] = [job for job in st.session_state[_KEY] if job in called]
    picked = st.multiselect(
        "Runs", list(called), format_func=called.__getitem__, key=_KEY, placeholder="Choose runs to compare"
    )
    st.query_params[RUNS] = ",".join(picked)
    if not picked:
        st.info("Choose at least one run.")
        return
    live = any(job.live for job in jobs if job.id in picked)

    @st.fragment(run_every=_SECONDS if live else None)
    def panel() -> None:
        try:
            runner.pump()
            shown = [runner.store.job(job) for job in picked]
            told = [Progress.of(job, runner.store) for job in shown]
        except KeyError:  # deleted by somebody else
            st.rerun()
        except (OSError, UserError) as error:
            st.error(f"A run cannot be read: {plain(error)}")
            return
        if live and not any(job.live for job in shown):
            st.rerun()
        draw([called[job.id] for job in shown], shown, told)

    panel()


def draw(called: list[str], jobs: list[Job], told: list[Progress]) -> None:
    """Draws the chart and the table of some runs."""
    fp32 = next((progress.fp32 for progress in told if progress.fp32 is not None), None)
    metric = told[0].metric
    runs = [run_of(name, progress, job.live) for name, job, progress in zip(called, jobs, told, strict=True)]
    chart(
        figures.qat.accuracy.comparison(
            runs, fp32=fp32, metric=metric, last=max(progress.last_epoch for progress in told), theme=theme()
        ),
        key="qat-comparison",
        file="qat-comparison",
        how_to_read=figures.qat.accuracy.HOW_TO_READ["comparison"],
    )
    if len({progress.fp32 for progress in told if progress.fp32 is not None}) > 1:
        st.caption("These runs were measured on different samples: their fp32 accuracies differ.")
    table = frame(called, jobs, told)
    numbers = {name: st.column_config.NumberColumn(format="%.2f") for name in table.columns if name.endswith("%")}
    link = st.column_config.LinkColumn("", display_text=":material/open_in_new:", width=40, help="Open this run.")
    st.dataframe(table, hide_index=True, column_config={"open": link, **numbers})
    st.download_button(
        "Table (CSV)",
        table.drop(columns="open").to_csv(index=False),
        "qat-runs.csv",
        "text/csv",
        key="csv-qat-runs",
        icon=":material/download:",
    )


def frame(called: list[str], jobs: list[Job], told: list[Progress]) -> pd.DataFrame:
    """One row per run."""
    rows = []
    for name, job, progress in zip(called, jobs, told, strict=True):
        assert isinstance(job.params, QatParams)
        course, control = progress.course("qat"), progress.course("fp32")
        trained = [epoch for epoch in course.epochs if epoch.epoch > 0]
        kept = next((epoch for epoch in trained if epoch.epoch == course.kept), trained[-1] if trained else None)
        qat = None if kept is None else kept.accuracy
        rows.append(
            {
                "open": f"qat?{JOB}={job.id}&model={quote(job.params.model)}&data={quote(job.params.data)}",
                "run": name,
                "state": job.state if not job.live else f"{100 * job.progress:.0f} %",
                "fp32 %": progress.fp32,
                "PTQ %": progress.ptq,
                "QAT %": qat,
                "relative %": relative_change(qat, progress.fp32),
                "fp32 control %": control.epochs[-1].accuracy if len(control.epochs) > 1 else None,
                "steps": max((row.step for row in course.steps), default=0),
                "took": duration(job.seconds),
            }
        )
    return pd.DataFrame(rows).dropna(axis="columns", how="all").round(2)
