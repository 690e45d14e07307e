"""The home page: the model in numbers, what is in it, and the paper's workflow with its state (Fig. 5)."""

import pandas as pd
import streamlit as st

from qanalysis import figures
from qanalysis.jobs.store import Store
from qanalysis.schema.params import EvaluateParams, PtqParams, SensitivityParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.results import EvaluateResult, PtqResult
from qanalysis.schema.sensitivity import SensitivityResult
from qanalysis.schema.site import Coverage
from qanalysis.schema.size import fp32_bytes, plan_bytes
from qanalysis.ui import navigation, selection
from qanalysis.ui.chart import chart, theme
from qanalysis.ui.outcome import notes, outcome
from qanalysis.ui.reproduce import reproduce

#: Loss that the paper accepts after quantization, in % relative to fp32 (section 5).
TARGET = 1.0


def page() -> None:
    """Draws the page."""
    st.title("What does int8 do to this network?")
    st.markdown(
        "Quantization replaces the 32-bit numbers of a trained network by 8-bit integers. It then runs faster and "
        "needs a quarter of the memory, but every number is rounded, and large ones are cut off. This workbench "
        "shows where that hurts, following *Integer Quantization for Deep Learning Inference* (Wu et al., 2020)."
    )
    chosen = selection.current()
    params = EvaluateParams(model=chosen.model, data=chosen.data)
    found = outcome(
        "evaluate",
        params,
        EvaluateResult,
        button="Measure the floating-point accuracy",
        what="Measuring fp32 accuracy",
        auto=chosen.sample,
    )
    if found is None:
        return
    result, _ = found
    notes(result)
    _numbers(result)
    _workflow(chosen, result)
    st.subheader("Where the work is")
    figure = figures.model.macs(result.coverage, theme=theme())
    chart(figure, key="macs", file=f"{result.model.architecture}-macs", how_to_read=figures.model.HOW_TO_READ["macs"])
    table = site_table(result.coverage)
    with st.expander(f"All {len(table)} sites", icon=":material/table:"):
        st.dataframe(table, hide_index=True)
    for entry in result.coverage.not_covered:
        st.caption(f"Not covered: {entry.operation} in {entry.module}: {entry.reason}.")
    reproduce(
        "evaluate",
        result,
        result.params,
        table,
        lambda: figures.export.standalone_html(figures.model.macs(result.coverage, theme="light"), "Sites"),
        f"{result.model.architecture}-sites",
    )


def site_table(coverage: Coverage) -> pd.DataFrame:
    """One row per site: what it is and what it costs."""
    return pd.DataFrame(
        {
            "site": [site.name for site in coverage.sites],
            "kind": ["depthwise convolution" if site.depthwise else site.kind for site in coverage.sites],
            "input": ["×".join(map(str, site.input_shape[1:])) for site in coverage.sites],
            "weight": ["×".join(map(str, site.weight_shape or ())) for site in coverage.sites],
            "MACs": [site.macs for site in coverage.sites],
            "share %": [round(100 * site.macs / max(coverage.macs, 1), 2) for site in coverage.sites],
        }
    )


def _numbers(result: EvaluateResult) -> None:
    columns = st.columns(4)
    if result.fp32 is not None:
        low, high = result.fp32.interval
        columns[0].metric(
            "fp32 accuracy",
            f"{result.fp32.accuracy:.2f} %",
            help=f"Top-1 on {result.fp32.samples:,} images; 95 % interval {low:.2f} to {high:.2f} %.",
        )
    else:
        columns[0].metric(
            "fp32 accuracy", "no labels", help="Quantized models are compared with the fp32 model's own answers."
        )
    sites = result.coverage.sites
    columns[1].metric("Layers to quantize", f"{len(sites)}", help="Convolutions, linear layers and matrix products.")
    columns[2].metric(
        "Work in them", f"{result.coverage.macs / 1e6:,.1f} M MACs", help="Multiply-accumulates per image."
    )
    megabytes = fp32_bytes(result.model.parameters) / 1e6
    smaller = plan_bytes(Plan(), result.coverage, result.model.parameters) / 1e6
    columns[3].metric(
        "Size in int8",
        f"{smaller:.2f} MB",
        f"{megabytes:.2f} MB in fp32",
        delta_color="off",
        delta_arrow="off",
        help="Weights of quantized layers at one byte each and a scale per channel, everything else at four bytes.",
    )
    st.caption(f"{result.model.name}: {result.model.origin}. {result.data.name}: {result.data.origin}.")


def _workflow(chosen: selection.Selection, result: EvaluateResult) -> None:
    """The paper's Fig. 5 with what is known about this model, and the next step."""
    st.subheader("What to do next")
    columns = st.columns(3)
    with columns[0].container(border=True, height="stretch"):
        st.markdown("**1 · Calibrate**")
        st.markdown("See the values that flow into each layer, and where each method would cut them off.")
        navigation.link(navigation.calibration(), "Open calibration")
    with columns[1].container(border=True, height="stretch"):
        st.markdown("**2 · Quantize after training (PTQ)**")
        st.markdown(_ptq_state(chosen))
        navigation.link(navigation.ptq(), "Open PTQ")
    with columns[2].container(border=True, height="stretch"):
        st.markdown("**3 · If more than 1 % is lost**")
        st.markdown(_sensitivity_state(chosen))
        navigation.link(navigation.sensitivity(), "Open sensitivity")


def _sensitivity_state(chosen: selection.Selection) -> str:
    store = Store()
    job = store.latest("sensitivity", SensitivityParams(model=chosen.model, data=chosen.data))
    if job is None or job.state != "finished":
        return "Find the few layers that cause the loss, and leave them in floating point (partial quantization)."
    result = store.result(job)
    assert isinstance(result, SensitivityResult)
    first = result.rows[0]
    count = result.partial.chosen if result.partial is not None else None
    skip = "nothing has to be skipped" if count == 0 else f"{count} of {len(result.rows)} layers to skip"
    if count is None:
        skip = "no few layers are enough"
    return f"Most sensitive: **{first.site}** ({first.relative:+.2f} % relative by itself); {skip}."


def _ptq_state(chosen: selection.Selection) -> str:
    store = Store()
    job = store.latest("ptq", PtqParams(model=chosen.model, data=chosen.data))
    if job is None or job.state != "finished":
        return "Not run yet with the paper's settings: try every calibration and compare accuracies."
    result = store.result(job)
    assert isinstance(result, PtqResult)
    best = next(row for row in result.rows if row.calibration == result.best)
    verdict = "within the paper's 1 %: done" if best.relative >= -TARGET else "more than 1 % lost: go on with step 3"
    label = figures.theme.calibration_label(best.calibration)
    return f"Best: **{label}**, {best.accuracy:.2f} % ({best.relative:+.2f} % relative), {verdict}."
