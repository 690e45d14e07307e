"""The home page: the model in numbers, what is in it, and the paper's workflow with its state (Fig. 5)."""

import streamlit as st

from qanalysis import figures
from qanalysis.insight.words import metric_axis, metric_noun
from qanalysis.jobs.store import Store
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.accuracy import EvaluateParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.accuracy import EvaluateResult
from qanalysis.schema.size import fp32_bytes, plan_bytes
from qanalysis.show.report import gather
from qanalysis.show.tables.accuracy import site_table
from qanalysis.ui import navigation
from qanalysis.ui.home import workflow
from qanalysis.ui.parts import report, selection
from qanalysis.ui.parts.chart import chart, theme
from qanalysis.ui.parts.outcome import notes, outcome
from qanalysis.ui.parts.reproduce import reproduce
from qanalysis.ui.parts.text import plain

_PAGES = (
    (navigation.calibration, "The values in each layer, and where every calibration cuts them off."),
    (navigation.ptq, "Accuracy with each calibration, beside the paper's."),
    (navigation.sensitivity, "Which layers hurt, and a plan of your own, measured at once."),
    (navigation.qat, "Train the quantized network, and see what that gains over more training."),
    (navigation.benchmark, "Speed in real engines, layer by layer; the file to deploy."),
    (navigation.learn, "The paper's figures and tables, to touch."),
)


def page() -> None:
    """Draws the page."""
    st.title("What does int8 do to this network?")
    st.markdown(
        "Quantization replaces the 32-bit numbers of a trained network by 8-bit integers. It then runs faster and "
        "needs a quarter of the memory, but every number is rounded, and large ones are cut off. This workbench "
        "shows where that hurts, following *Integer Quantization for Deep Learning Inference* (Wu et al., 2020)."
    )
    chosen = selection.current()
    params = EvaluateParams(model=chosen.model, data=chosen.data, task=chosen.task)
    found = outcome(
        "evaluate",
        params,
        EvaluateResult,
        button="Measure the floating-point accuracy",
        what="Measuring fp32 accuracy",
        auto=chosen.sample,
    )
    if found is not None:
        notes(found[0])
        _numbers(found[0])
    if found is not None or _may_be_measured(params):
        workflow.section(chosen)
    if found is None:
        return
    result, _ = found
    _next()
    _report(chosen)
    st.header("Where the work is")
    figure = figures.model.macs(result.coverage, theme=theme())
    chart(figure, key="macs", file=f"{result.model.architecture}-macs", how_to_read=figures.model.HOW_TO_READ["macs"])
    table = site_table(result.coverage)
    with st.expander(f"All {len(table)} sites", icon=":material/table:"):
        st.dataframe(table, hide_index=True)
    for entry in result.coverage.not_covered:
        st.caption(plain(f"Not covered: {entry.operation} in {entry.module}: {entry.reason}."))
    reproduce(
        "evaluate",
        result,
        result.params,
        table,
        lambda: figures.look.export.standalone_html(figures.model.macs(result.coverage, theme="light"), "Sites"),
        f"{result.model.architecture}-sites",
    )


def _may_be_measured(params: EvaluateParams) -> bool:
    """Whether nothing is known to be wrong with the model and its data."""
    try:
        job = Store().latest("evaluate", params)
    except (OSError, UserError):  # told above
        return False
    return job is None or job.live


def _next() -> None:
    """The pages, for who wants to look closer."""
    st.header("What to look at next")
    columns = [*st.columns(3), *st.columns(3)]
    for column, (page, words) in zip(columns, _PAGES, strict=True):
        with column.container(border=True, height="stretch"):
            navigation.link(page(), page().title)
            st.caption(plain(words))


def _report(chosen: selection.Selection) -> None:
    """Everything that was measured, to take away."""
    st.header("Take it with you")
    name = chosen.model.rpartition(":")[2].rpartition("/")[2]
    where = f"--model {chosen.model} --data {chosen.data}"
    report.downloads(
        lambda: gather.newest(Store(), chosen.model, chosen.data),
        name=f"{name}-report",
        key="report-home",
        command=f"qanalysis report {where} --html report.html",
    )


def _numbers(result: EvaluateResult) -> None:
    columns = st.columns(4)
    if result.fp32 is not None:
        low, high = result.fp32.accuracy_interval
        columns[0].metric(
            f"fp32 {metric_noun(result.metric)}",
            f"{result.fp32.accuracy:.2f} %",
            help=f"{metric_axis(result.metric).removesuffix(' (%)').capitalize()} on {result.fp32.samples:,} "
            f"{result.words.samples}; 95 % interval {low:.2f} to {high:.2f} %.",
        )
    else:
        columns[0].metric(
            f"fp32 {result.words.metric}",
            "no labels",
            help="Quantized models are compared with the fp32 model's own answers.",
        )
    sites = result.coverage.sites
    columns[1].metric("Layers to quantize", f"{len(sites)}", help="Convolutions, linear layers and matrix products.")
    columns[2].metric(
        "Work in them", _macs(result.coverage.macs), help=f"Multiply-accumulates per {result.words.sample}."
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
    st.caption(plain(f"{result.model.name}: {result.model.origin}. {result.data.name}: {result.data.origin}."))


def _macs(count: int) -> str:
    """Multiply-accumulates in three digits: `40.8 M MACs`, `4.09 G MACs`."""
    scale, unit = (1e9, "G") if count >= 1e9 else (1e6, "M")
    return f"{count / scale:.3g} {unit} MACs"
