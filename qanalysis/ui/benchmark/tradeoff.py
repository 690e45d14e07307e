"""Accuracy against speed: measured plans as points, the search for the fastest, and what to do with a point."""

import streamlit as st

from qanalysis import figures
from qanalysis.figures.benchmark.tradeoff import Point
from qanalysis.jobs.state import Job
from qanalysis.numerics.change import relative
from qanalysis.schema.flavours import engine_label
from qanalysis.schema.params.deploy import BenchmarkParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.benchmark import BenchmarkResult, FastestResult, SpeedStep
from qanalysis.schema.site import Coverage
from qanalysis.show.tables.speed import step_table
from qanalysis.ui.benchmark import point as benchmark_point
from qanalysis.ui.benchmark.settings import fastest
from qanalysis.ui.parts.chart import chart, theme
from qanalysis.ui.parts.outcome import notes, outcome
from qanalysis.ui.parts.reproduce import reproduce
from qanalysis.ui.parts.selection import Selection
from qanalysis.ui.parts.text import code

_PICKED = "benchmark-point"
_READ = figures.benchmark.tradeoff.HOW_TO_READ


def view(chosen: Selection, params: BenchmarkParams, result: BenchmarkResult | None) -> None:
    """Draws the view.

    Args:
        chosen: model and data.
        params: settings of the benchmark.
        result: of the benchmark with these settings, if there is one.
    """
    place = st.container()
    found = _search(chosen, params, result)
    with place:
        _points(chosen, result, found)


def points(result: BenchmarkResult | None, found: FastestResult | None) -> tuple[list[Point], dict[str, Plan | None]]:
    """What to draw, and the plan of every point by its key.

    The points of a search stand beside those of the benchmark if both were measured on the same samples, in the same
    engine and for the same batch size; else alone.
    """
    drawn: list[Point] = []
    plans: dict[str, Plan | None] = {}
    if result is not None and (found is None or comparable(result, found)):
        for point in result.points:
            key = f"measured {point.name}"
            plans[key] = point.plan
            names = {"plan": "the plan in force" if result.params.plan is not None else "all layers in int8"}
            drawn.append(
                Point(
                    key=key,
                    name=names.get(point.name, point.name),
                    kind="fp32" if point.plan is None else "int8",
                    ms=point.latency_ms,
                    accuracy=point.accuracy,
                    floats=_floats(point.plan, result.coverage, result.float_sites),
                    sites=len(result.coverage.sites),
                )
            )
    if found is None:
        return drawn, plans
    base = found.params.effective_plan()
    for number, step in enumerate(found.steps):
        key = f"search {number}"
        plan = base.skipping(*step.skipped)
        chosen_one = found.plan is not None and plan == found.plan
        if not chosen_one and plan in plans.values():
            continue  # it was timed as well
        plans[key] = plan
        timed = chosen_one and found.measured_ms is not None
        drawn.append(
            Point(
                key=key,
                name="fastest within the target" if chosen_one else step.why,
                kind="chosen" if chosen_one else "search",
                ms=found.measured_ms if timed and found.measured_ms is not None else step.predicted_ms,
                accuracy=step.accuracy,
                measured=timed,
                floats=_floats(plan, found.coverage, {}),
                sites=len(found.coverage.sites),
            )
        )
    if not any(point.kind == "fp32" for point in drawn):
        plans["float"] = None
        every = len(found.coverage.sites)
        drawn.append(Point("float", "fp32", "fp32", found.float_ms, found.fp32, every, every))
    return drawn, plans


def comparable(result: BenchmarkResult, found: FastestResult) -> bool:
    """Whether points of both may stand in one chart."""
    same = {(point.engine, point.batch) for point in result.points} == {(found.params.engine, found.params.batch)}
    return same and abs(result.fp32 - found.fp32) < 1e-9


def _floats(plan: Plan | None, coverage: Coverage, unranged: dict[str, str]) -> int:
    """Number of layers in floating point."""
    return sum(plan is None or not plan.quantizes(site.name) or site.name in unranged for site in coverage.sites)


def _points(chosen: Selection, result: BenchmarkResult | None, found: FastestResult | None) -> None:
    source = result or found
    if source is None:
        return
    drawn, plans = points(result, found)
    if not drawn:
        st.info("This benchmark measured no engine that reads files in fp32 and int8, so there are no points to draw.")
        return
    first = (result.points[0].engine, result.points[0].batch) if result is not None and result.points else None
    where = (found.params.engine, found.params.batch) if found is not None else first
    st.header("Accuracy against speed" + (f" in {engine_label(where[0])}, batch {where[1]}" if where else ""))
    if result is not None and found is not None and not comparable(result, found):
        st.caption(
            "Only the search is drawn: the benchmark above was measured on other samples, in another engine or for "
            "another batch size."
        )
    picked = st.session_state.get(_PICKED)
    chart(
        figures.benchmark.tradeoff.tradeoff(
            drawn,
            fp32=source.fp32,
            target=found.params.target if found is not None else 1.0,
            metric=source.metric,
            selected=picked if picked in plans else None,
            theme=theme(),
        ),
        key="bench-tradeoff",
        file=f"{source.model.architecture}-accuracy-speed",
        how_to_read=_READ["tradeoff"],
        on_click=lambda key: st.session_state.update({_PICKED: key}),
    )
    point = next((one for one in drawn if one.key == picked), None)
    if point is None:
        st.caption("Click a mark to see its plan, open it on another page, or keep it.")
        return
    benchmark_point.panel(chosen, point, plans[point.key], source)


def _search(chosen: Selection, shared: BenchmarkParams, result: BenchmarkResult | None) -> FastestResult | None:
    """The search for the fastest plan: its form, its steps, its answer."""
    st.header("The fastest plan within a loss")
    st.markdown(
        "The search measures what each layer gains in time and costs in accuracy, then tries whole plans: accuracy is "
        "measured, latency predicted, and the plan it chooses is timed."
    )
    engine, batch = shared.engines[0], shared.batches[-1]
    if result is not None and result.points:
        engine, batch = result.points[0].engine, result.points[0].batch
    params = fastest(chosen, shared, engine, batch)
    if params is None:
        return None
    st.caption(
        f"In {engine_label(engine)}, batch {batch}, on {params.evaluation_samples:,} samples: as the settings "
        f"above say."
    )
    found = outcome("fastest", params, FastestResult, button="Search", what="Search", live=_steps_so_far)
    if found is None:
        return None
    answer, _ = found
    notes(answer)
    _answer(answer)
    table = step_table(answer.steps, answer.metric)
    with st.expander(f"All {len(table)} plans that were tried", icon=":material/table:"):
        formats = {name: st.column_config.NumberColumn(format="%.2f") for name in table.columns if name.endswith("%")}
        formats["predicted ms"] = st.column_config.NumberColumn(format="%.3f")
        st.dataframe(table, hide_index=True, column_config=formats)
    drawn, _ = points(None, answer)
    reproduce(
        "fastest",
        answer,
        answer.params,
        table,
        lambda: figures.look.export.standalone_html(
            figures.benchmark.tradeoff.tradeoff(
                drawn, fp32=answer.fp32, target=answer.params.target, metric=answer.metric, theme="light"
            ),
            "Accuracy against speed",
        ),
        f"{answer.model.architecture}-fastest",
    )
    return answer


def _steps_so_far(job: Job) -> None:
    """The plans tried so far."""
    steps = [SpeedStep.model_validate(row) for row in job.rows]
    last = steps[-1]
    st.caption(
        f"{len(steps)} plans tried. The last, {last.why}: {last.accuracy:.2f} % ({last.relative:+.2f} % relative), "
        f"predicted {last.predicted_ms:.3g} ms."
    )
    st.dataframe(step_table(steps, "accuracy").round(3), hide_index=True)


def _answer(answer: FastestResult) -> None:
    columns = st.columns(4)
    columns[0].metric("fp32", f"{answer.float_ms:.3g} ms", f"{answer.fp32:.2f} %", delta_color="off", delta_arrow="off")
    columns[1].metric(
        "All in int8", f"{answer.int8_ms:.3g} ms", f"{answer.quantized:.2f} %", delta_color="off", delta_arrow="off"
    )
    if answer.plan is None or answer.measured_ms is None or answer.accuracy is None or answer.predicted_ms is None:
        st.warning(
            f"No plan that was tried loses {answer.params.target:g} % or less. Try more plans, another calibration, "
            "or accept more.",
            icon=":material/warning:",
        )
        return
    error = 100 * (answer.predicted_ms - answer.measured_ms) / answer.measured_ms
    columns[2].metric(
        f"Fastest within {answer.params.target:g} %",
        f"{answer.measured_ms:.3g} ms",
        f"{answer.accuracy:.2f} %",
        delta_color="off",
        delta_arrow="off",
    )
    columns[3].metric(
        "Predicted",
        f"{answer.predicted_ms:.3g} ms",
        f"{error:+.1f} % off",
        delta_color="off",
        delta_arrow="off",
        help="What the prediction said of the plan before it was timed.",
    )
    skipped = sorted(answer.plan.skip)
    kept = (
        f"with {', '.join(f'{code(site)}' for site in skipped)} in floating point" if skipped else "all layers in int8"
    )
    st.success(
        f"{answer.float_ms / answer.measured_ms:.2f} times as fast as fp32 for "
        f"{relative(answer.accuracy, answer.fp32):+.2f} % relative accuracy, "
        f"{kept}.",
        icon=":material/check_circle:",
    )
