"""The end of the workflow on the home page: what to deploy, with the evidence and the files."""

from pathlib import Path

import streamlit as st

from qanalysis.insight.advice import results
from qanalysis.insight.words import calibration_label, counted
from qanalysis.insight.workflow.end import recommendation
from qanalysis.schema import saved_plan
from qanalysis.schema.command import command
from qanalysis.schema.errors import UserError
from qanalysis.schema.flavours import engine_label
from qanalysis.schema.results.workflow import Recommendation
from qanalysis.ui.home.state import Standing
from qanalysis.ui.parts import advice
from qanalysis.ui.parts.text import code, plain

_WAYS = {"ptq": "PTQ", "partial": "partial quantization", "qat": "QAT"}


def draw(at: Standing) -> None:
    """Draws the recommendation, once the search has ended."""
    if at.ending is None:
        return
    given = recommendation(
        at.params, at.known.results, at.known.refused, at.ending.end, at.ending.best, at.ending.reason
    )
    with st.container(border=True):
        _verdict(at, given)
        _numbers(given)
        for note in given.notes:
            st.caption(plain(note))
        _files(at, given)
    advice.cards(results.of_workflow(at.known.results))


def _verdict(at: Standing, given: Recommendation) -> None:
    best = given.best
    plan = best.plan.plan
    bits = f"{plan.weight_bits}-bit weights and {plan.activation_bits}-bit activations"
    if plan.weight_bits == plan.activation_bits:
        bits = f"{plan.weight_bits}-bit weights and activations"
    title = f"**Recommended: {_WAYS[best.way]}, {bits}, {_ranges(best.plan.calibration)}.**"
    if given.end == "none":
        word = f"Nothing is within {at.params.target:g} %; the best is {_WAYS[best.way]}."
        st.warning(f"**{word}** {given.reason}", icon=":material/warning:")
        return
    low, _ = best.change_interval
    sure = (
        ""
        if given.sure
        else f" On {best.samples:,} samples that is not certain: it may be {low:+.2f} points (95 %). "
        "Evaluate more to be sure."
    )
    st.success(f"{title} {given.reason}{sure}", icon=":material/check_circle:")


def _ranges(calibration: str) -> str:
    return "trained ranges" if calibration == "trained" else f"{calibration_label(calibration)} calibration"


def _numbers(given: Recommendation) -> None:
    best = given.best
    low, high = best.change_interval
    columns = st.columns(4)
    columns[0].metric(
        "Accuracy",
        f"{best.accuracy:.2f} %",
        f"{best.relative:+.2f} % relative",
        delta_color="off" if given.end != "none" else "normal",
        help=f"fp32 {best.fp32:.2f} %; change {low:+.2f} to {high:+.2f} points (95 %) on {best.samples:,} samples.",
    )
    columns[1].metric(
        "Work in integers",
        f"{best.int8_mac_share:.1f} %",
        f"{len(best.plan.sites) - len(best.skipped)} of {counted(len(best.plan.sites), 'layer')}",
        delta_color="off",
        delta_arrow="off",
    )
    if given.speed is None:
        columns[2].metric("Latency", "–", help="Not measured; the reason is below.")
    else:
        speed = given.speed
        columns[2].metric(
            f"Latency in {engine_label(speed.engine)}",
            f"{speed.int8_ms:.3g} ms",
            f"{speed.fp32_ms:.3g} ms in fp32",
            delta_color="off",
            delta_arrow="off",
            help=f"Median, batch {speed.batch}.",
        )
        interval = (
            ""
            if speed.speedup_interval is None
            else f"95 %: {speed.speedup_interval[0]:.2f} to {speed.speedup_interval[1]:.2f}"
        )
        columns[3].metric("Speed-up", f"{speed.speedup:.2f} ×", help=interval or None)


def _files(at: Standing, given: Recommendation) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        for name in given.files:
            path = Path(name)
            if path.is_file():
                st.download_button(
                    path.name, path.read_bytes, path.name, key=f"file-{path.name}", icon=":material/download:"
                )
            else:
                st.caption(f"{code(path)} is gone.")
        if given.best.skipped or given.best.way != "ptq":
            _save(at, given)
    if given.best.way == "qat":
        st.caption(f"The trained network: {code(given.best.model)}")
    with st.expander("The same on the command line", icon=":material/terminal:"):
        st.code(command("workflow", at.params), language="bash", wrap_lines=True)


def _save(at: Standing, given: Recommendation) -> None:
    """Keeps the plan under a name, so that every page can use it."""
    name = f"{at.params.model.partition(':')[2].replace('/', '-')[:40]} {given.best.plan.plan.weight_bits} bits"
    if st.button("Save the plan", key="save-recommended", icon=":material/bookmark:"):
        try:
            saved_plan.save(given.best.plan.renamed(name))
        except (OSError, UserError) as error:
            st.error(f"The plan cannot be saved: {plain(error)}")
        else:
            st.toast(f"Saved as {name}: choose it in the sidebar.", icon=":material/bookmark:")
