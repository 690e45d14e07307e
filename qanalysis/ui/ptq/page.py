"""The PTQ page: accuracy after quantization with every calibration (Tables 4 and 5)."""

from typing import Any

import pandas as pd
import streamlit as st

from qanalysis import figures
from qanalysis.insight.advice import results
from qanalysis.insight.words import calibration_label, metric_noun
from qanalysis.jobs.state import Job
from qanalysis.numerics.change import relative
from qanalysis.schema.paper import paper_row
from qanalysis.schema.params.accuracy import PtqParams
from qanalysis.schema.results.accuracy import PtqResult
from qanalysis.show.tables.accuracy import ptq_table
from qanalysis.ui.parts import advice, fields, selection
from qanalysis.ui.parts.chart import chart, theme
from qanalysis.ui.parts.outcome import notes, outcome
from qanalysis.ui.parts.reproduce import reproduce
from qanalysis.ui.ptq import clip


def page() -> None:
    """Draws the page."""
    st.title("Post-training quantization")
    st.markdown(
        "Every layer's inputs, activations and weights, are rounded to integers, and the accuracy is measured again: "
        "once for each way to calibrate the activations. Nothing is trained."
    )
    chosen = selection.current()
    selection.plan_note(chosen.plan)
    params = _settings(chosen)
    if params is None:
        return
    found = outcome("ptq", params, PtqResult, button="Run PTQ", what="Quantizing", live=_so_far)
    if found is None:
        return
    result, _ = found
    notes(result)
    _verdict(result)
    chart(
        figures.ptq.ptq.bars(result, theme=theme()),
        key="ptq-bars",
        file=f"{result.model.architecture}-ptq",
        how_to_read=figures.ptq.ptq.HOW_TO_READ["bars"],
    )
    advice.cards(results.of_ptq(result))
    table = ptq_table(result)
    st.dataframe(table, hide_index=True)
    row = paper_row(result.model.architecture)
    if row is not None:
        st.header(f"Beside the paper's {row.network}")
        chart(
            figures.ptq.ptq.against_paper(result, row, theme=theme()),
            key="ptq-paper",
            file=f"{result.model.architecture}-paper",
            how_to_read=figures.ptq.ptq.HOW_TO_READ["against_paper"],
        )
    clip.section(result)
    _sites(result)
    reproduce(
        "ptq",
        result,
        result.params,
        table,
        lambda: figures.look.export.standalone_html(figures.ptq.ptq.bars(result, theme="light"), "PTQ"),
        f"{result.model.architecture}-ptq",
    )


def _settings(chosen: selection.Selection) -> PtqParams | None:
    with st.expander("Settings", icon=":material/settings:", expanded=False):
        columns = st.columns(4)
        weight_bits = fields.weight_bits(columns[0], chosen.plan)
        activation_bits = fields.activation_bits(columns[1], chosen.plan)
        granularity = fields.granularity(columns[2], chosen.plan)
        fold = columns[3].toggle("Fold batch norm", key="fold-bn", bind="query-params")
        columns = st.columns(4)
        calibration = columns[0].number_input(
            "Calibration samples", 1, 100_000, 512, key="cal-samples", bind="query-params"
        )
        evaluation = columns[1].number_input(
            "Evaluation samples", 1, 100_000, 2000, key="eval-samples", bind="query-params"
        )
        scheme = fields.activation_scheme(columns[2], chosen.plan)
        names = fields.calibrations(chosen)
    if not names:
        st.info("Choose at least one calibration.")
        return None
    return PtqParams(
        model=chosen.model,
        data=chosen.data,
        task=chosen.task,
        plan=chosen.plan,
        bits=weight_bits,
        activation_bits=fields.own_activation_bits(weight_bits, activation_bits),
        calibrations=names,
        weight_granularity=granularity,
        activation_scheme=scheme,
        fold_bn=fold,
        calibration_samples=int(calibration),
        evaluation_samples=int(evaluation),
    )


def _so_far(job: Job) -> None:
    """Rows as they are measured."""
    rows: list[dict[str, Any]] = [
        {
            "calibration": calibration_label(row["calibration"]),
            "accuracy %": round(row["accuracy"], 2),
            "relative %": round(row["relative"], 2),
        }
        for row in (job.table["rows"] if job.table else job.rows)
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True)


def _verdict(result: PtqResult) -> None:
    best = next(row for row in result.rows if row.calibration == result.best)
    label = calibration_label(best.calibration)
    low, high = best.change_interval
    columns = st.columns(4)
    columns[0].metric(f"fp32 {metric_noun(result.metric)}", f"{result.fp32:.2f} %")
    columns[1].metric(
        f"Best: {label}",
        f"{best.accuracy:.2f} %",
        f"{best.relative:+.2f} % relative",
        help=f"Change against fp32 on the same {result.words.samples}: {low:+.2f} to {high:+.2f} points (95 %).",
    )
    columns[2].metric("Quantized layers", f"{len(result.quantized_sites)} of {len(result.sites)}")
    columns[3].metric("Work in integers", f"{result.int8_mac_share:.1f} %", help="Share of multiply-accumulates.")
    if best.relative >= -1 > relative(result.fp32 + low, result.fp32):
        st.success(
            f"Within 1 % of fp32 with {label} calibration, measured on {result.fp32_score.samples:,} "
            f"{result.words.samples}. These are "
            f"few: the true change lies between {low:+.2f} and {high:+.2f} points (95 %). Evaluate more to be sure.",
            icon=":material/check_circle:",
        )
    elif best.relative >= -1:
        st.success(
            f"Within 1 % of fp32 with {label} calibration. By the paper's workflow (Fig. 5) you can stop here.",
            icon=":material/check_circle:",
        )
    else:
        st.warning(
            f"The best calibration, {label}, still loses {-best.relative:.2f} % relative. The paper goes on with "
            "partial quantization (leave the most sensitive layers in floating point) and then QAT.",
            icon=":material/warning:",
        )


def _sites(result: PtqResult) -> None:
    with st.expander("Layers", icon=":material/table:"):
        frame = pd.DataFrame(list(result.sites))
        frame["precision"] = [
            "float: " + result.float_sites[name] if name in result.float_sites else "int" for name in frame["name"]
        ]
        st.dataframe(frame, hide_index=True)
