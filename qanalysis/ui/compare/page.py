"""The comparison page: any number of runs side by side, whatever made them."""

import time

import pandas as pd
import streamlit as st

from qanalysis import figures
from qanalysis.figures.look import series
from qanalysis.insight import comparison
from qanalysis.insight.comparison import Run
from qanalysis.insight.headline import common_metric
from qanalysis.insight.words import calibration_label
from qanalysis.jobs import runners
from qanalysis.jobs.state import Job
from qanalysis.jobs.summary import settings
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.task import QuantizationParams
from qanalysis.ui import navigation
from qanalysis.ui.compare import answers
from qanalysis.ui.parts import report, selection
from qanalysis.ui.parts.chart import chart, theme
from qanalysis.ui.parts.results import loaded
from qanalysis.ui.parts.text import plain

#: Ids of the runs in the address.
RUNS, _KEY = "runs", "compared-runs"
#: Jobs that are offered, and runs that are chosen at first, at the most.
_MOST, _AT_FIRST = 300, 2
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: Longest name of a run, beside its letter.
_LONGEST = 34
#: Analyses that say something about a quantized model.
_ANALYSES = frozenset({"ptq", "qat", "plan", "partial", "sensitivity", "weights", "benchmark", "fastest", "export"})


def page() -> None:
    """Draws the page."""
    st.title("Compare runs")
    st.markdown(
        "Two or more finished runs side by side: what was set differently, what it did to accuracy, ranges and speed, "
        "and which samples are answered differently. The address of this page keeps the choice."
    )
    chosen = selection.current()
    try:
        runner = runners.chosen()
        jobs = [job for job in runner.store.jobs(_MOST) if job.state == "finished" and job.analysis in _ANALYSES]
    except (OSError, UserError) as error:
        st.error(plain(error))
        return
    if not jobs:
        st.info(
            "Nothing has been measured yet. Run PTQ with two different settings, for example 8 and 4 bits, and come "
            "back.",
            icon=":material/inbox:",
        )
        navigation.link(navigation.ptq(), "Open PTQ")
        return
    picked = _choice(jobs, chosen)
    runs, broken = _runs(picked)
    for sentence in broken:
        st.warning(plain(sentence), icon=":material/heart_broken:")
    if len(runs) < 2:
        st.info("Choose at least two runs.", icon=":material/stacks:")
        return
    _numbers(runs)
    _settings(runs)
    _ranges(runs)
    answers.draw(runner, runs)
    _report(runs)


def names(jobs: list[Job]) -> dict[str, str]:
    """Job → what it is, of what, what it found and when; a note replaces what it found."""
    told = {}
    for job in jobs:
        model = job.params.model.rpartition(":")[2].rpartition("/")[2]
        when = time.strftime("%d %b %H:%M:%S", time.localtime(job.created))
        told[job.id] = " · ".join(part for part in (job.analysis, model, job.note or job.headline, when) if part)
    return told


def _choice(jobs: list[Job], chosen: selection.Selection) -> list[Job]:
    by_id = {job.id: job for job in jobs}
    called = names(jobs)
    if _KEY not in st.session_state:
        asked = [job for job in st.query_params.get(RUNS, "").split(",") if job in by_id]
        here = [job.id for job in jobs if (job.params.model, job.params.data) == (chosen.model, chosen.data)]
        alike = [job for job in here if by_id[job].analysis == by_id[here[0]].analysis]
        first = alike if len(alike) >= _AT_FIRST else here if len(here) >= _AT_FIRST else list(by_id)
        st.session_state[_KEY] = asked or first[:_AT_FIRST][::-1]  # the older one is what the newer is held against
    else:  # a run that was deleted meanwhile cannot be drawn
        st.session_state[_KEY] = [job for job in st.session_state[_KEY] if job in by_id]
    picked = st.multiselect(
        "Runs", list(by_id), format_func=called.__getitem__, key=_KEY, placeholder="Choose runs to compare"
    )
    st.query_params[RUNS] = ",".join(picked)
    return [by_id[job] for job in picked]


def _runs(picked: list[Job]) -> tuple[list[tuple[Job, Run]], list[str]]:
    pairs, broken = [], []
    for job in picked:
        try:
            pairs.append((job, loaded(job)))
        except UserError as error:
            broken.append(plain(error))
    told = _short([job for job, _ in pairs])
    return [(job, Run(name, result)) for name, (job, result) in zip(told, pairs, strict=True)], broken


def _short(picked: list[Job]) -> list[str]:
    """Names short enough for a legend: a letter, the note or analysis and model, and what differs first."""
    bits = [_bits(job) for job in picked]
    others = [{name: text for name, text in settings(job.params).items() if "bits" not in name} for job in picked]
    differing = list(dict.fromkeys(name for one in others for name in one if len({o.get(name) for o in others}) > 1))
    told = []
    for place, job in enumerate(picked):
        model = job.params.model.rpartition(":")[2].rpartition("/")[2]
        parts = [job.note or f"{job.analysis} {model}"]
        if len(set(bits)) > 1:
            parts.append(bits[place])
        parts += [f"{name} {others[place].get(name, 'default')}" for name in differing[:1]]
        told.append(f"{_LETTERS[place % 26]} · {series.cut(', '.join(part for part in parts if part), _LONGEST)}")
    return told


def _bits(job: Job) -> str:
    if not isinstance(job.params, QuantizationParams):
        return ""
    plan = job.params.effective_plan()
    return f"{plan.weight_bits}/{plan.activation_bits} bits"


def _numbers(runs: list[tuple[Job, Run]]) -> None:
    heads = [(run.name, run.headline) for _, run in runs]
    chart(
        figures.compare.changes(heads, theme=theme()),
        key="compare-changes",
        file="compare-changes",
        how_to_read=figures.compare.HOW_TO_READ["changes"],
    )
    frame = table([run for _, run in runs])
    formats = {name: st.column_config.NumberColumn(format="%.2f") for name in frame.columns if "%" in name}
    st.dataframe(frame, hide_index=True, column_config=formats)
    st.download_button(
        "Table (CSV)",
        frame.to_csv(index=False),
        "compare.csv",
        "text/csv",
        icon=":material/download:",
        key="csv-compare",
    )
    if len({head.fp32 for _, head in heads if head.fp32 is not None}) > 1:
        st.caption("These runs were measured on different samples or models: their fp32 accuracies differ.")


def table(runs: list[Run]) -> pd.DataFrame:
    """One row per run; columns that no run fills are left out."""
    metric = common_metric([run.headline for run in runs])
    rows = []
    for run in runs:
        head = run.headline
        rows.append(
            {
                "run": run.name,
                "what": head.what,
                "fp32 %": head.fp32,
                f"{metric} %": head.accuracy,
                "relative %": head.relative,
                "95 % interval, points": f"{head.change_interval[0]:+.2f} to {head.change_interval[1]:+.2f}"
                if head.change_interval
                else None,
                "calibration": calibration_label(head.calibration) if head.calibration else None,
                "in floating point": None if head.skipped is None else f"{head.skipped} of {head.sites} layers",
                "latency, ms": None if head.latency_ms is None else f"{head.latency_ms:.3g}",
                "speed-up": None if head.speedup is None else f"{head.speedup:.2f} ×",
            }
        )
    return pd.DataFrame(rows).dropna(axis="columns", how="all")


def _report(runs: list[tuple[Job, Run]]) -> None:
    """A report on these runs, where they are about one model."""
    first = runs[0][0].params
    if any((job.params.model, job.params.data) != (first.model, first.data) for job, _ in runs):
        return
    st.header("Take it with you")
    report.downloads(
        lambda: [run.result for _, run in runs],
        name="compared-runs",
        key="report-compare",
        command=f"qanalysis report {' '.join(job.id for job, _ in runs)} --html report.html",
    )


def _settings(runs: list[tuple[Job, Run]]) -> None:
    st.header("What was set differently")
    differing = comparison.differences([run for _, run in runs])
    if not differing:
        st.info("Nothing: all settings, versions and the machine are the same.", icon=":material/equal:")
        return
    frame = pd.DataFrame(
        {
            "setting": [one.setting for one in differing],
            **{run.name: [one.values[place] for one in differing] for place, (_, run) in enumerate(runs)},
        }
    )
    st.dataframe(frame, hide_index=True, height=min(35 * len(frame) + 38, 460))


def _ranges(runs: list[tuple[Job, Run]]) -> None:
    shared = comparison.shared_ranges([run for _, run in runs])
    if not shared:
        return
    st.header("Ranges")
    chart(
        figures.compare.ranges([run.name for _, run in runs], shared, theme=theme()),
        key="compare-ranges",
        file="compare-ranges",
        how_to_read=figures.compare.HOW_TO_READ["ranges"],
    )
