"""The sensitivity page: which layers hurt (Fig. 3), and which to leave in floating point (Table 6)."""

from typing import Any

import streamlit as st

from qanalysis import figures
from qanalysis.figures.look.labels import shortened
from qanalysis.figures.sensitivity.scales import Shown
from qanalysis.insight.advice import results
from qanalysis.insight.words import counted
from qanalysis.jobs.state import Job
from qanalysis.numerics.change import relative
from qanalysis.schema.params.accuracy import PartialParams, SensitivityMode, SensitivityParams
from qanalysis.schema.results.sensitivity import PartialResult, SensitivityResult, SensitivityRow
from qanalysis.schema.tasks import TASKS, Words
from qanalysis.show.tables.accuracy import sensitivity_table
from qanalysis.ui.parts import advice, selection
from qanalysis.ui.parts.chart import chart, theme
from qanalysis.ui.parts.outcome import notes, outcome
from qanalysis.ui.parts.reproduce import reproduce
from qanalysis.ui.parts.text import code
from qanalysis.ui.sensitivity import plan
from qanalysis.ui.sensitivity.drafts import Drafts, drafts, take_offer
from qanalysis.ui.sensitivity.settings import settings

_SHOWN: dict[str, Shown] = {"Divergence": "divergence", "Accuracy": "accuracy", "SQNR": "sqnr"}
#: Rows beyond which the chart scrolls in a frame of its own.
_ROWS, _FRAME = 26, 620


def page() -> None:
    """Draws the page."""
    st.title("Sensitivity")
    st.markdown(
        "A few layers usually cause most of the loss. Here each layer is quantized alone, with all others in floating "
        "point, and the answers are compared with fp32. Then the worst are left in floating point, one more at a time, "
        "until the accuracy is back."
    )
    chosen = selection.current()
    selection.plan_note(chosen.plan)
    params = settings(chosen)
    found = outcome(
        "sensitivity", params, SensitivityResult, button="Measure every layer", what="Quantizing layers", live=_so_far
    )
    if found is None:
        return
    result, _ = found
    notes(result)
    _verdict(result)
    made = _drafts(result)
    _bars(
        list(result.rows),
        result.params,
        fp32=result.fp32,
        quantized=result.quantized,
        made=made,
        metric=result.metric,
        words=result.words,
    )
    advice.cards(results.of_sensitivity(result))
    if result.stopped:
        stopped, reason = counted(len(result.stopped), "layer"), next(iter(result.stopped.values()))
        st.caption(f"Not measured on all {result.words.samples}: {stopped}, {reason}.")
    if result.partial is not None:
        st.header("How few layers have to stay in floating point")
        chart(
            figures.sensitivity.fig3.fig3(result, theme=theme()),
            key="fig3",
            file=f"{result.model.architecture}-fig3",
            how_to_read=figures.sensitivity.fig3.HOW_TO_READ["fig3"],
        )
        plan.section(result, made)
        _greedy(result)
        _proxies(result)
    reproduce(
        "sensitivity",
        result,
        result.params,
        sensitivity_table(result),
        lambda: figures.look.export.standalone_html(
            figures.sensitivity.fig3.fig3(result, theme="light")
            if result.partial is not None
            else figures.sensitivity.fig3.bars(result.rows, fp32=result.fp32, mode=result.params.mode, theme="light"),
            "Sensitivity",
        ),
        f"{result.model.architecture}-sensitivity",
    )


def _so_far(job: Job) -> None:
    """Bars of what is measured so far."""
    params = job.params
    if job.table is None or not isinstance(params, SensitivityParams):
        return
    rows = [SensitivityRow.model_validate(row) for row in job.table["rows"]]
    fp32, quantized = job.table["fp32"], job.table["quantized"]
    columns = st.columns([3, 3, 4, 5])
    columns[0].metric("fp32", f"{fp32:.2f} %")
    columns[1].metric("All quantized", f"{quantized:.2f} %")
    columns[2].metric("Samples so far", f"{job.table['samples']:,}")
    first = rows[0].site if rows else "…"
    columns[3].metric("Most sensitive so far", shortened(first, 14), help=first)
    _bars(rows, params, fp32=fp32, quantized=quantized)


def _bars(
    rows: list[SensitivityRow],
    params: SensitivityParams,
    *,
    fp32: float,
    quantized: float,
    made: Drafts | None = None,
    metric: Any = "accuracy",
    words: Words = TASKS["classification"].words,
) -> None:
    label = st.segmented_control(
        "Show",
        list(_SHOWN),
        default="Divergence" if params.rank == "divergence" else "Accuracy",
        key="sensitivity-shown",
        bind="query-params",
        required=True,
        label_visibility="collapsed",
    )
    figure = figures.sensitivity.fig3.bars(
        rows,
        fp32=fp32,
        quantized=quantized,
        metric=metric,
        words=words,
        mode=params.mode,
        rank=params.rank,
        shown=_SHOWN[label],
        floats=made.plan.skip if made is not None else frozenset(),
        theme=theme(),
        uirevision=str(label),
    )
    frame = st.container(height=_FRAME, border=False) if len(rows) > _ROWS else st.container()
    with frame:
        chart(
            figure,
            key="sensitivity-bars",
            file=f"sensitivity-{_SHOWN[label]}",
            on_click=None if made is None else lambda site: made.make(made.plan.toggling(site)),
        )
    st.caption(figures.sensitivity.fig3.HOW_TO_READ["bars"])
    if made is not None and params.mode == "only":
        st.caption("Click a bar to switch its layer to floating point and back; the plan below is measured at once.")


def _drafts(result: SensitivityResult) -> Drafts:
    sites = [site.name for site in result.coverage.sites]
    base = result.params.effective_plan()
    made = drafts(plan.identity(result), base, sites)
    take_offer(made, base, sites)
    return made


def _verdict(result: SensitivityResult) -> None:
    mode: SensitivityMode = result.params.mode
    columns = st.columns([3, 3, 5, 4])
    columns[0].metric("fp32", f"{result.fp32:.2f} %")
    columns[1].metric(
        "All quantized", f"{result.quantized:.2f} %", f"{relative(result.quantized, result.fp32):+.2f} % relative"
    )
    first = result.rows[0]
    columns[2].metric(
        "Most sensitive layer" if mode == "only" else "Most gained without",
        first.site,
        f"{first.relative:+.2f} % relative",
        delta_color="normal" if mode == "only" else "off",
    )
    if result.partial is None:
        return
    target, steps = result.params.target, result.partial.steps
    if result.partial.chosen is None:
        columns[3].metric(
            "Layers to skip",
            f"more than {len(steps) - 1}",
            f"of {len(result.rows)}",
            delta_color="off",
            delta_arrow="off",
        )
        st.warning(
            f"With {counted(len(steps) - 1, 'layer')} in floating point the loss is still {-steps[-1].relative:.2f} %, "
            f"over the target of {target:g} %. Try another calibration, allow more skipped layers, or go on with QAT.",
            icon=":material/warning:",
        )
    else:
        chosen = steps[result.partial.chosen]
        columns[3].metric(
            "Layers to skip",
            f"{result.partial.chosen} of {len(result.rows)}",
            f"{chosen.int8_mac_share:.1f} % of work in integers",
            delta_color="off",
            delta_arrow="off",
        )
        skipped = ", ".join(f"{code(site)}" for site in chosen.skipped)
        low = chosen.change_interval[0]
        few = (
            f" On {chosen.samples:,} {result.words.samples} this is not certain: the loss may be {-low:.2f} "
            f"points (95 %)."
            if 100 * low / max(result.fp32, 1e-9) < -target
            else ""
        )
        st.success(
            f"Nothing has to be skipped: the loss is within {target:g} %.{few}"
            if not chosen.skipped
            else f"With {skipped} in floating point the loss is {-chosen.relative:.2f} %, within {target:g} %.{few}",
            icon=":material/check_circle:",
        )


def _greedy(result: SensitivityResult) -> None:
    with st.expander("Is this order the best? Compare with greedy search", icon=":material/route:"):
        st.markdown(
            "The order above ranks layers by what each does alone. Greedy search ranks again after every skip, among "
            "the few most sensitive layers, at the cost of one evaluation for each candidate."
        )
        shared = {
            name: getattr(result.params, name) for name in PartialParams.model_fields if hasattr(result.params, name)
        }
        params = PartialParams(**shared, search="greedy", order=tuple(row.site for row in result.rows))
        found = outcome(
            "partial", params, PartialResult, button="Search greedily", what="Searching", live=_steps_so_far
        )
        if found is None:
            return
        greedy, _ = found
        assert result.partial is not None
        chart(
            figures.sensitivity.partial.steps(
                result.partial,
                greedy=greedy.partial,
                fp32=result.fp32,
                target=result.params.target,
                metric=result.metric,
                theme=theme(),
            ),
            key="greedy",
            file=f"{result.model.architecture}-greedy",
            how_to_read=figures.sensitivity.partial.HOW_TO_READ["steps"],
        )
        ours, theirs = result.partial.chosen, greedy.partial.chosen
        st.caption(
            f"In order: {'no step reached the target' if ours is None else f'{ours} skipped'}, "
            f"{result.partial.evaluations} plans measured. Greedy: "
            f"{'no step reached the target' if theirs is None else f'{theirs} skipped'}, "
            f"{greedy.partial.evaluations} plans measured."
        )


def _steps_so_far(job: Job) -> None:
    if job.table is not None and job.table.get("partial"):
        last = job.table["partial"]["steps"][-1]
        st.caption(f"{len(last['skipped'])} skipped: {last['accuracy']:.2f} % ({last['relative']:+.2f} % relative).")


def _proxies(result: SensitivityResult) -> None:
    if not result.proxies:
        return
    with st.expander("Do cheaper scores find the same layers?", icon=":material/compare_arrows:"):
        st.markdown(
            "Other tools rank layers by a score that needs no accuracy. Measured divergence is to the right, the score "
            "upwards; a score that ranks alike puts the dots on a rising line."
        )
        chart(
            figures.sensitivity.fig3.proxies(result, theme=theme()),
            key="proxies",
            file=f"{result.model.architecture}-proxies",
            how_to_read=figures.sensitivity.fig3.HOW_TO_READ["proxies"],
        )
