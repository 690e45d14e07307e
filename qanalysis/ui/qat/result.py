"""A finished fine-tune on the QAT page: what it gained, its charts, and where its network can go."""

from typing import Any

import streamlit as st

from qanalysis import figures
from qanalysis.insight.advice import results
from qanalysis.insight.words import calibration_label
from qanalysis.jobs.state import Job
from qanalysis.jobs.store import Store
from qanalysis.schema.results.qat import QatResult
from qanalysis.show.tables.accuracy import qat_table
from qanalysis.ui import navigation
from qanalysis.ui.parts import advice
from qanalysis.ui.parts.outcome import notes
from qanalysis.ui.parts.reproduce import reproduce
from qanalysis.ui.parts.text import code, plain
from qanalysis.ui.qat import charts
from qanalysis.ui.qat.progress import Progress

#: Loss that the paper accepts, in % relative to fp32.
_TARGET = 1.0


def finished(result: QatResult, job: Job) -> None:
    """Draws a finished fine-tune."""
    notes(result)
    _numbers(result)
    _verdict(result)
    advice.cards(results.of_qat(result))
    _go_on(result, job)
    progress = Progress.of_result(result)
    name = f"{result.model.architecture}-qat"
    charts.draw(progress, charts.trace_of(Store().folder(job.id)), dict(result.ranges), name)
    table = qat_table(result)
    with st.expander("Epochs, and how it was done", icon=":material/table:"):
        st.dataframe(table, hide_index=True)
        _recipe(result)
    reproduce(
        "qat",
        result,
        result.params,
        table,
        lambda: figures.look.export.standalone_html(
            figures.qat.accuracy.accuracy(
                progress.courses,
                fp32=progress.fp32,
                ptq=progress.ptq,
                metric=progress.metric,
                last=progress.last_epoch,
                theme="light",
            ),
            "Quantization-aware training",
            caption=figures.qat.accuracy.HOW_TO_READ["accuracy"],
        ),
        name,
    )


def _numbers(result: QatResult) -> None:
    columns = st.columns(5)
    interval = result.fp32.accuracy_interval
    columns[0].metric(
        "fp32",
        f"{result.fp32.accuracy:.2f} %",
        help=f"On {result.fp32.samples:,} {result.words.samples}; 95 % interval {interval[0]:.2f} to "
        f"{interval[1]:.2f} %.",
    )
    changes: list[tuple[str, Any]] = [
        (f"PTQ, {calibration_label(result.calibration)}", result.ptq),
        ("QAT", result.qat),
        ("fp32 control", result.fp32_control),
    ]
    for column, (label, change) in zip(columns[1:4], changes, strict=True):
        if change is None:
            column.metric(label, "not run", help="The same fine-tune in floating point; switch it on in the settings.")
            continue
        low, high = change.change_interval
        column.metric(
            label,
            f"{change.accuracy:.2f} %",
            f"{change.relative:+.2f} % relative",
            help=f"Change from fp32 on the same {result.words.samples}: {low:+.2f} to {high:+.2f} points (95 %).",
        )
    ratio = result.step_seconds / result.fp32_step_seconds if result.fp32_step_seconds else float("nan")
    columns[4].metric(
        "Time of a step",
        f"{ratio:.2f} ×",
        f"of fp32, {1000 * result.step_seconds:,.0f} ms",
        delta_color="off",
        delta_arrow="off",
        help="Median of forward, backward and update, over the same in floating point.",
    )


def _verdict(result: QatResult) -> None:
    """What training gained, and whether more training alone would have."""
    gained = result.qat.accuracy - result.ptq.accuracy
    lost = result.fp32.accuracy - result.ptq.accuracy
    share = f", {100 * gained / lost:.0f} % of what was lost" if lost > 0.5 and gained > 0 else ""
    brings = "Training brings" if gained > 0 else "Training brings no gain:"
    sentence = (
        f"{brings} **{gained:+.2f} points** over PTQ{share}: {result.qat.accuracy:.2f} % in "
        f"{result.plan.weight_bits}/{result.plan.activation_bits} bits, {result.qat.relative:+.2f} % relative to fp32."
    )
    if result.fp32_control is not None:
        more = result.fp32_control.accuracy - result.fp32.accuracy
        low, high = result.fp32_control.change_interval
        clear = low > 0 or high < 0
        sentence += (
            f" The same training in floating point changes fp32 by {more:+.2f} points"
            + ("." if clear else ", which so few samples cannot tell from nothing.")
            + (f" Against that control QAT is at {result.qat.accuracy - result.fp32_control.accuracy:+.2f} points.")
        )
    if result.qat.relative >= -_TARGET:
        if gained > 0:
            st.success(sentence, icon=":material/check_circle:")
        else:
            st.info(sentence, icon=":material/info:")
        return
    tips = []
    early = result.run.best_epoch < result.epochs[-1].epoch / 2
    if early:
        less = ", or less weight decay of the ranges" if result.params.ranges == "learned" else ""
        tips.append(f"a lower learning rate{less}, since the best epoch came early")
    else:
        tips.append("more epochs, or a higher learning rate")
    if result.plan.activation_scheme == "scale":
        tips.append(
            "affine activations, or learned ranges" if result.params.ranges == "fixed" else "affine activations"
        )
    tips.append("the most sensitive layers in floating point")
    st.warning(f"{sentence} What may help: {'; '.join(tips)}.", icon=":material/warning:")


def _go_on(result: QatResult, job: Job) -> None:
    """Links that take the trained network to other pages."""
    if result.checkpoint is None:
        return
    path = Store().folder(job.id) / result.checkpoint
    if not path.is_file():
        st.caption(f"The trained network is gone from {code(path)}.")
        return
    choice = {
        "model": f"checkpoint:{path}",
        "data": result.data.name,
        "wbits": result.plan.weight_bits,
        "abits": result.plan.activation_bits,
        "ascheme": result.plan.activation_scheme,
        "scheme": result.plan.activation_scheme,
        "bits": result.plan.activation_bits,
        "eval-samples": result.params.evaluation_samples,
        "cal-samples": result.params.calibration_samples,
    }
    if result.params.plan is not None:
        choice["plan"] = result.params.plan.name
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown("**Open this network**", width="content")
        for page in (navigation.ptq(), navigation.sensitivity(), navigation.calibration()):
            st.button(
                page.title,
                key=f"open-{page.url_path}",
                icon=page.icon,
                type="tertiary",
                on_click=navigation.go,
                args=(page,),
                kwargs=choice,
            )
        st.caption("It brings the ranges that it was trained with, as calibration `trained`.", width="content")


def _recipe(result: QatResult) -> None:
    recipe = result.recipe
    st.markdown(
        f"{recipe.optimizer.upper() if recipe.optimizer == 'sgd' else 'AdamW'}, learning rate "
        f"{recipe.learning_rate:g} to {recipe.final_learning_rate:g}, weight decay {recipe.weight_decay:g}, label "
        f"smoothing {recipe.label_smoothing:g}; {recipe.steps:,} steps of {recipe.batch_size} {result.words.samples}, "
        f"{recipe.steps_per_epoch:,} in an epoch of {recipe.samples:,}."
    )
    for note in recipe.notes:
        st.caption(plain(note))
    if len(result.calibrations) > 1:
        tried = ", ".join(f"{calibration_label(one.calibration)} {one.accuracy:.2f} %" for one in result.calibrations)
        st.caption(f"Without training: {tried}.")
