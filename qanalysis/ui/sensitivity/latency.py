"""Latency of a plan made by hand: predicted at once from a benchmark of its model, or measured by a short one."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from qanalysis.jobs import runners
from qanalysis.jobs.state import Job
from qanalysis.jobs.store import Store
from qanalysis.jobs.summary import duration
from qanalysis.schema.errors import UserError
from qanalysis.schema.executable import refusal
from qanalysis.schema.flavours import engine_label
from qanalysis.schema.params.deploy import BenchmarkParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.benchmark import BenchmarkResult, FastestResult
from qanalysis.schema.results.sensitivity import SensitivityResult
from qanalysis.schema.results.speed import SpeedModel
from qanalysis.schema.saved_plan import SavedPlan
from qanalysis.ui import navigation
from qanalysis.ui.parts.outcome import change, told
from qanalysis.ui.parts.results import loaded
from qanalysis.ui.parts.text import plain

#: Time for each of the two networks of a measurement, in seconds, and the images that it needs.
_SECONDS, _CALIBRATION, _EVALUATION = 2.0, 64, 64


@dataclass(frozen=True)
class Latency:
    """Time of one inference under a plan.

    Attributes:
        ms: the shortest.
        measured: whether it was measured, not predicted.
        int8_ms: with all layers in int8.
        float_ms: with all layers in floating point.
        source: what it is predicted from.
        when: when that was measured, seconds since the epoch.
    """

    ms: float
    measured: bool
    int8_ms: float
    float_ms: float
    source: SpeedModel
    when: float


def latency(result: SensitivityResult, plan: Plan) -> Latency | None:
    """What the plan takes, measured where it was; None where nothing is known of this model, or no engine executes it.

    Args:
        result: the analysis that the plan was made on.
        plan: the plan, float sites of the analysis not among its skipped ones.
    """
    found = _model(result.params.model)
    if found is None or _refusal(result, plan):
        return None
    speed, when = found
    floats = plan.skip | frozenset(result.float_sites)
    predicted = Latency(speed.predict(floats), False, speed.int8_ms, speed.float_ms, speed, when)
    job = _job(result, plan, speed)
    if job is None or job.state != "finished":
        return predicted
    measured = _measured(job)
    return predicted if measured is None else Latency(measured, True, speed.int8_ms, speed.float_ms, speed, when)


def gains(model: str) -> Mapping[str, float]:
    """How much faster each layer is in int8, in ms; empty where that is not known."""
    found = _model(model)
    return {} if found is None else found[0].gains()


def section(result: SensitivityResult, plan: Plan, now: Latency | None) -> None:
    """Says where the latency comes from, and measures the plan when asked."""
    if why := _refusal(result, plan):
        st.caption(f"Latency is not predicted. {why}")
        return
    if now is None:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(
                "To see the latency of every plan here as you make it, run a benchmark of this model once.",
                width="content",
            )
            navigation.link(navigation.benchmark(), "Benchmark")
        return
    job = _job(result, plan, now.source)
    waits = job is not None and job.live

    @st.fragment(run_every=0.5 if waits else None)
    def panel() -> None:
        current = _job(result, plan, now.source) if waits else job
        if waits and not (current is not None and current.live):
            st.rerun()
        words, button = st.columns([5, 1], vertical_alignment="center")
        if current is not None and current.live:
            words.progress(current.progress, text=f"Measuring the latency · {told(current)}")
            if button.button("Cancel", key="latency-cancel", width="stretch"):
                change(lambda: runners.chosen().cancel(current.id))
        else:
            words.caption(_words(now))
            if button.button(
                "Measure again" if now.measured else "Measure latency",
                key="latency-measure",
                icon=":material/timer:",
                width="stretch",
                help="Runs this plan and fp32 by turns in the engine, about half a minute with the machine to itself.",
            ):
                change(lambda: _measure(result, plan, now.source))
        if current is not None and current.state in ("failed", "lost"):
            st.error(f"The latency could not be measured. {plain(current.error)}")

    panel()


def _refusal(result: SensitivityResult, plan: Plan) -> str:
    """Why no engine executes the plan; empty if one may."""
    floats = result.float_sites
    return refusal(plan, [site.name for site in result.coverage.sites if site.name not in floats])


def _words(now: Latency) -> str:
    speed = now.source
    where = f"{engine_label(speed.engine)}, batch {speed.batch}"
    ends = f"fp32 {now.float_ms:.3g} ms, all layers in int8 {now.int8_ms:.3g} ms"
    if now.measured:
        return f"Latency measured in {where}; {ends}."
    errors = [abs(check.error) for check in speed.checks if not check.fitted]
    good = f", within {max(errors):.0f} % on plans that checked it" if errors else ""
    ago = duration(max(time.time() - now.when, 0))
    return f"Latency predicted for {where}{good}, from a benchmark {ago} ago: {ends}."


def _measure(result: SensitivityResult, plan: Plan, speed: SpeedModel) -> None:
    """Starts the measurement; jobs that only wait for plans would keep it from having the machine to itself."""
    runner = runners.chosen()
    for job in runner.store.jobs():
        if job.analysis == "trials" and job.live and job.stage == "ready for plans":
            runner.cancel(job.id)  # what it measured is kept, and it is started again when it is needed
    runner.submit("benchmark", _params(result, plan, speed))


def _params(result: SensitivityResult, plan: Plan, speed: SpeedModel) -> BenchmarkParams:
    """Settings of a short benchmark of one plan beside fp32."""
    calibration = result.params.effective_calibration
    kept = SavedPlan.of("by hand", result.model.name, result.coverage, calibration, plan)
    return BenchmarkParams(
        model=result.params.model,
        data=result.params.data,
        plan=kept,
        engines=(speed.engine,),
        precisions=("fp32", "int8"),
        batches=(speed.batch,),
        threads=speed.threads,
        seconds=_SECONDS,
        calibration_samples=_CALIBRATION,
        evaluation_samples=_EVALUATION,
        layers=False,
        gemm=False,
        predict=False,
    )


def _job(result: SensitivityResult, plan: Plan, speed: SpeedModel) -> Job | None:
    try:
        return Store().latest("benchmark", _params(result, plan, speed))
    except (OSError, UserError):
        return None


def _measured(job: Job) -> float | None:
    try:
        found = loaded(job)
    except UserError:  # its file is gone
        return None
    assert isinstance(found, BenchmarkResult)
    return next((row.latency_ms.min for row in found.rows if row.plan), None)


def _model(name: str) -> tuple[SpeedModel, float] | None:
    """The newest speed model of a model, and when it was measured; None, too, where the store cannot be read."""
    try:
        return _newest(str(Store().root), name)
    except (OSError, UserError):
        return None


@st.cache_resource(ttl=3, max_entries=16, show_spinner=False)
def _newest(root: str, name: str) -> tuple[SpeedModel, float] | None:
    """Looked for every few seconds, not at every switch: it goes through all jobs."""
    for job in Store(Path(root)).jobs():
        if job.analysis in ("benchmark", "fastest") and job.state == "finished" and job.params.model == name:
            try:
                found = loaded(job)
            except UserError:
                continue
            if isinstance(found, BenchmarkResult | FastestResult) and found.speed is not None:
                return found.speed, job.ended or job.created
    return None
