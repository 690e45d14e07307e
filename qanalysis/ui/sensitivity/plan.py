"""Partial quantization by hand: switch layers, see what it does at once, pin, save and load plans."""

import streamlit as st
from pydantic import ValidationError

from qanalysis import figures
from qanalysis.figures.sensitivity.partial import Pin
from qanalysis.jobs.state import Job
from qanalysis.schema import saved_plan
from qanalysis.schema.digest import digest
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.accuracy import TrialsParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.sensitivity import SensitivityResult, Trial
from qanalysis.schema.saved_plan import SavedPlan
from qanalysis.schema.size import fp32_bytes, plan_bytes
from qanalysis.ui.parts.chart import chart, theme
from qanalysis.ui.parts.text import code, plain
from qanalysis.ui.sensitivity import latency as benchmark_prediction
from qanalysis.ui.sensitivity import trial as trials
from qanalysis.ui.sensitivity.drafts import Drafts
from qanalysis.ui.sensitivity.editor import editor
from qanalysis.ui.sensitivity.latency import Latency
from qanalysis.ui.sensitivity.trial import Refused

_POLL_SECONDS = 0.25
_NOTE = "plan-note"


def params_of(result: SensitivityResult) -> TrialsParams:
    """Settings under which plans are measured: those of the analysis."""
    names = [name for name in TrialsParams.model_fields if hasattr(result.params, name)]
    return TrialsParams(**{name: getattr(result.params, name) for name in names})


def identity(result: SensitivityResult) -> str:
    """What drafts and pins belong to: model, data and settings, not a single job."""
    return digest("trials", params_of(result))[:16]


def section(result: SensitivityResult, made: Drafts) -> None:
    """Draws the section.

    Args:
        result: the sensitivity analysis that the choice rests on.
        made: the plans made so far.
    """
    st.header("Choose by hand")
    if (note := st.session_state.pop(_NOTE, None)) is not None:
        st.info(plain(note), icon=":material/info:")
    _measured(result, made)
    editor(made, result.coverage, result.rows, result.fp32, benchmark_prediction.gains(result.params.model))
    _keep(result, made)


def _measured(result: SensitivityResult, made: Drafts) -> None:
    """Numbers of the current plan, and the chart it stands in; asks again until they are known."""
    params, plan = params_of(result), made.plan
    known = _known(result, plan)
    found: Trial | Refused | Job | None = known if known is not None else trials.measured(params, plan)
    waits = isinstance(found, Job) and found.live
    latency = benchmark_prediction.latency(result, plan)

    @st.fragment(run_every=_POLL_SECONDS if waits else None)
    def panel() -> None:
        now = trials.measured(params, plan) if waits else found
        if waits and not (isinstance(now, Job) and now.live):
            st.rerun()
        _numbers(result, plan, now, latency)

    panel()
    benchmark_prediction.section(result, plan, latency)
    if isinstance(found, Trial):
        _pin(result, made, found)
    _tradeoff(result, found if isinstance(found, Trial) else None)


def _known(result: SensitivityResult, plan: Plan) -> Trial | None:
    """The measurement of a plan that partial quantization has measured already."""
    assert result.partial is not None
    base = result.params.effective_plan()
    for step in result.partial.steps:
        if base.skipping(*step.skipped) == plan:
            values = step.model_dump(exclude={"skipped"})
            size = _bytes(result, plan)
            return Trial(**values, plan=plan, digest=plan.digest, model_bytes=size, computed_from=None, milliseconds=0)
    return None


def _bytes(result: SensitivityResult, plan: Plan) -> int:
    return plan_bytes(plan.skipping(*_unranged(result)), result.coverage, result.model.parameters)


def _unranged(result: SensitivityResult) -> frozenset[str]:
    """Layers that stay in floating point under any plan."""
    return frozenset(result.float_sites)


def _numbers(result: SensitivityResult, plan: Plan, now: Trial | Refused | Job | None, latency: Latency | None) -> None:
    trials.numbers(
        now if isinstance(now, Trial) else None,
        result.fp32,
        result.quantized,
        fp32_bytes(result.model.parameters),
        len(result.coverage.sites),
        plan.skip | _unranged(result),
        latency,
    )
    if isinstance(now, Trial):
        if now.computed_from is not None:
            st.caption(
                f"Measured on {now.samples:,} {result.words.samples} in {now.milliseconds / 1000:.1f} s, computed from "
                f"{code(now.computed_from)} on; what lies before it was replayed."
            )
        else:
            st.caption(f"Measured on {now.samples:,} {result.words.samples} as a step of partial quantization.")
    elif isinstance(now, Refused):
        st.error(f"This plan cannot be measured. {plain(now.reason)}", icon=":material/block:")
    elif isinstance(now, Job) and now.live:
        ready = now.stage == "ready for plans"
        waits = f" It waits: {now.waits}." if now.state == "queued" and now.waits else ""
        st.caption(
            "Measuring …" if ready else f"Making model and data ready for your plans; later ones are quick.{waits}"
        )
    elif isinstance(now, Job):
        st.error(f"The plan could not be measured. {plain(now.error)}")
        if st.button("Try again", key="trials-again", icon=":material/refresh:"):
            trials.again(params_of(result))
            st.rerun()


def _pin(result: SensitivityResult, made: Drafts, trial: Trial) -> None:
    pinned = trials.pins(identity(result))
    columns = st.columns([3, 1, 1, 4], vertical_alignment="bottom")
    name = columns[0].text_input(
        "Name for comparison", f"Plan {len(pinned) + 1}", key=f"pin-name-{len(pinned)}-{made.at}"
    )
    if columns[1].button("Pin", key="pin", icon=":material/keep:", width="stretch"):
        trials.pin(identity(result), name or trial.digest, trial)
        st.rerun()
    if columns[2].button("Unpin all", key="unpin", disabled=not pinned, width="stretch"):
        pinned.clear()
        st.rerun()


def _tradeoff(result: SensitivityResult, current: Trial | None) -> None:
    pinned = trials.pins(identity(result))
    shown = [(one.name, one.trial) for one in pinned]
    if current is not None and current.digest not in {trial.digest for _, trial in shown}:
        shown.append(("this plan", current))
    chart(
        figures.sensitivity.partial.tradeoff(
            result.partial,
            [
                Pin(name, trial.accuracy, trial.change_interval, trial.int8_mac_share, trial.model_bytes)
                for name, trial in shown
            ],
            fp32=result.fp32,
            target=result.params.target,
            metric=result.metric,
            theme=theme(),
        ),
        key="tradeoff",
        file=f"{result.model.architecture}-tradeoff",
        how_to_read=figures.sensitivity.partial.HOW_TO_READ["tradeoff"],
    )
    if pinned:
        st.dataframe(trials.pin_table(pinned, len(result.coverage.sites), _unranged(result)), hide_index=True)


def _pin_of(name: str, trial: Trial) -> Pin:
    return Pin(
        name=name,
        accuracy=trial.accuracy,
        change_interval=trial.change_interval,
        int8_mac_share=trial.int8_mac_share,
        model_bytes=trial.model_bytes,
    )


def _keep(result: SensitivityResult, made: Drafts) -> None:
    """Save, download, load."""
    sites = tuple(site.name for site in result.coverage.sites)
    columns = st.columns([3, 1, 1, 3, 1], vertical_alignment="bottom")
    name = columns[0].text_input("Save as", placeholder="resnet20 without conv1", key="plan-name")
    try:
        calibration = result.params.effective_calibration
        kept: SavedPlan | None = SavedPlan.of(
            name.strip() or "plan", result.model.name, result.coverage, calibration, made.plan
        )
    except ValidationError as error:
        kept = None
        st.error(error.errors()[0]["msg"].removeprefix("Value error, ").capitalize() + ".")
    if columns[1].button("Save", key="plan-save", width="stretch", disabled=kept is None or not name.strip()) and kept:
        try:
            saved_plan.save(kept)
            st.toast(f"Saved. Use it on other pages, or with --plan '{kept.name}'.", icon=":material/check:")
        except OSError as error:
            st.error(f"The plan cannot be saved: {plain(error)}.")
    columns[2].download_button(
        "JSON",
        kept.model_dump_json(indent=1) if kept else "",
        f"{kept.name if kept else 'plan'}.json",
        "application/json",
        key="plan-json",
        width="stretch",
        icon=":material/download:",
    )
    names = saved_plan.saved()
    chosen = columns[3].selectbox(
        "Saved plans", names, index=None, placeholder="choose" if names else "none saved yet", key="plan-saved"
    )
    if columns[4].button("Load", key="plan-load", width="stretch", disabled=chosen is None) and chosen:
        _load(chosen, list(sites), result, made)


def _load(name: str, sites: list[str], result: SensitivityResult, made: Drafts) -> None:
    try:
        loaded = saved_plan.find(name)
        loaded.check(sites)
    except UserError as error:
        st.error(plain(error))
        return
    base = result.params.effective_plan()
    plan = base.skipping(*loaded.plan.skip).model_copy(update={"overrides": loaded.plan.overrides})
    made.make(plan)
    if loaded.plan.model_copy(update={"skip": plan.skip, "overrides": plan.overrides}) != plan or (
        loaded.calibration != result.params.effective_calibration
    ):
        st.session_state[_NOTE] = (
            f"{name!r} was made for {loaded.plan.weight_bits}-bit weights, {loaded.plan.activation_bits}-bit "
            f"activations and {loaded.calibration} calibration. Its choice of layers was loaded; the bits and the "
            "calibration are those of the settings above."
        )
    st.rerun()
