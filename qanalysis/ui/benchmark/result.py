"""A finished benchmark: what int8 gains, whether it computes the same, and where the time goes."""

import streamlit as st

from qanalysis import figures
from qanalysis.insight.advice import results
from qanalysis.jobs.state import Job
from qanalysis.schema.flavours import engine_label
from qanalysis.schema.results.benchmark import BUSY, AgreementRow, BenchmarkResult, BenchmarkRow, fp32_row, int8_row
from qanalysis.show.tables.speed import agreement_table, row_table
from qanalysis.ui.benchmark import layers
from qanalysis.ui.parts import advice
from qanalysis.ui.parts.chart import chart, theme
from qanalysis.ui.parts.reproduce import reproduce
from qanalysis.ui.parts.text import plain

#: Top-1 agreement of engine and simulation that is expected, in %.
SAME = 99.5
_READ = figures.benchmark.latency.HOW_TO_READ
_MILLISECONDS = st.column_config.NumberColumn(format="%.3f")
_TWO = st.column_config.NumberColumn(format="%.2f")


def finished(result: BenchmarkResult, job: Job) -> None:
    """Draws a finished benchmark."""
    _notes(result)
    batches = list(dict.fromkeys(row.batch for row in result.rows))
    batch = batches[-1] if batches else 1
    if len(batches) > 1:
        picked = st.segmented_control(
            "Batch size",
            [str(one) for one in batches],
            default=str(batch),
            key="bench-batch-shown",
            format_func=lambda one: f"batch {one}",
            required=True,
            label_visibility="collapsed",
        )
        batch = int(picked or batch)
    rows = [row for row in result.rows if row.batch == batch]
    _numbers(result, rows)
    _verdict(result, rows)
    advice.cards(results.of_benchmark(result))
    name = f"{result.model.architecture}-benchmark"
    st.header("Time of one inference")
    chart(
        figures.benchmark.latency.latency(rows, theme=theme()),
        key="bench-latency",
        file=f"{name}-latency",
        how_to_read=_READ["latency"],
    )
    table = row_table(result.rows)
    st.dataframe(
        table,
        hide_index=True,
        column_config={name: _MILLISECONDS for name in table.columns if name.endswith("ms")}
        | {"speed-up": _TWO, "file MB": _TWO},
    )
    _load(result)
    if result.agreement:
        _agreement(result)
    if result.layers is not None:
        layers.section(result, name)
    if result.gemm:
        _gemm(result, name)
    if result.speed is not None:
        _prediction(result, name)
    reproduce(
        "benchmark",
        result,
        result.params,
        table,
        lambda: figures.look.export.standalone_html(
            figures.benchmark.latency.latency(rows, theme="light"), f"Latency, batch {batch}", caption=_READ["latency"]
        ),
        name,
    )


def _notes(result: BenchmarkResult) -> None:
    """What makes the figures doubtful, large; what was not measured, small."""
    for warning in (*result.warnings, *result.data.warnings):
        if "was not measured" in warning:
            st.caption(f":material/block: {warning}")
        else:
            st.warning(plain(warning), icon=":material/info:")


def _numbers(result: BenchmarkResult, rows: list[BenchmarkRow]) -> None:
    row = int8_row(rows)
    columns = st.columns(5)
    if row is None:
        quickest = min(rows, key=lambda one: one.latency_ms.median, default=None)
        if quickest is not None:
            label = f"Fastest: {figures.benchmark.latency.name_of(quickest)}"
            columns[0].metric(label, f"{quickest.latency_ms.median:.3g} ms")
        return
    base = fp32_row(rows, row)
    columns[0].metric(
        f"{row.precision} in {engine_label(row.engine)}",
        f"{row.latency_ms.median:.3g} ms",
        None if base is None else f"{base.latency_ms.median:.3g} ms in fp32",
        delta_color="off",
        delta_arrow="off",
        help=f"Median of one inference of {row.batch} samples.",
    )
    low, high = row.speedup_interval or (None, None)
    columns[1].metric(
        "Speed-up over fp32",
        "–" if row.speedup is None else f"{row.speedup:.2f} ×",
        None if low is None else f"{low:.2f} to {high:.2f} (95 %)",
        delta_color="off",
        delta_arrow="off",
        help="Median over rounds of the time of the same engine in fp32 over this one's.",
    )
    columns[2].metric("Samples per second", f"{row.throughput:,.0f}")
    same = _agreement_of(result, row)
    columns[3].metric(
        "Same answers",
        "not measured" if same is None else f"{same.agreement:.2f} %",
        None if same is None else f"{same.accuracy - same.simulated:+.2f} points {result.metric}",
        delta_color="off",
        delta_arrow="off",
    )
    columns[4].metric(
        "File",
        "–" if row.file_mb is None else f"{row.file_mb:.3g} MB",
        None if base is None or base.file_mb is None else f"{base.file_mb:.3g} MB in fp32",
        delta_color="off",
        delta_arrow="off",
    )


def _verdict(result: BenchmarkResult, rows: list[BenchmarkRow]) -> None:
    row = int8_row(rows)
    if row is None:
        st.info("No engine here was asked for int8, or none can: the rows below are all in floating point.")
        return
    same = _agreement_of(result, row)
    parts = []
    if row.speedup is not None:
        parts.append(
            f"{engine_label(row.engine)} runs this network **{row.speedup:.2f} times as fast** in int8 as in fp32"
            if row.speedup >= 1
            else f"{engine_label(row.engine)} is **slower in int8 than in fp32** here ({row.speedup:.2f} ×)"
        )
    whole = row.int8_sites >= row.planned_sites
    parts.append(
        f"all {row.planned_sites} layers of the plan really ran in int8"
        if whole
        else f"only {row.int8_sites} of the plan's {row.planned_sites} layers really ran in int8"
    )
    if same is not None:
        parts.append(
            f"its answers are the simulation's for {same.agreement:.2f} % of {same.samples:,} {result.words.samples}"
        )
    sentence = "; ".join(parts) + "."
    good = whole and (row.speedup or 0) >= 1 and (same is None or same.agreement >= SAME)
    if good:
        st.success(sentence, icon=":material/check_circle:")
    else:
        st.warning(plain(sentence), icon=":material/warning:")
    for other in rows:
        if other.plan == "plan" and other is not row and other.int8_sites < other.planned_sites:
            st.caption(
                f"{engine_label(other.engine)} ran {other.int8_sites} of {other.planned_sites} layers in int8"
                + ("" if other.speedup is None else f", at {other.speedup:.2f} × the speed of its fp32")
                + ": it computes the rest in floating point after converting the integers back."
            )


def _load(result: BenchmarkResult) -> None:
    here = result.environment
    busy = here.machine_load.others > BUSY
    st.caption(
        f"Measured on {here.cpu} with {here.cores} cores ({', '.join((*here.cpu_features, *here.gpus))}); "
        f"{', '.join(f'{engine_label(name)} {version}' for name, version in here.engines.items())}. Others used "
        f"{100 * here.machine_load.others:.0f} % of the cores meanwhile, load average "
        f"{here.machine_load.average:.1f}{': compare minima and ratios only.' if busy else '.'}"
    )
    for name, reason in here.missing.items():
        st.caption(f":material/block: {engine_label(name)} is missing. {reason}")


def _agreement(result: BenchmarkResult) -> None:
    st.header("Does the engine answer what the simulation does?")
    table = agreement_table(result.agreement, result.metric)
    formats = {name: _TWO for name in table.columns if name.endswith("%")}
    signed = {"difference, points": st.column_config.NumberColumn(format="%+.2f")}
    st.dataframe(table, hide_index=True, column_config=formats | signed)
    st.caption(
        "For int8, answers are compared with the simulated plan; in floating point, with the model itself. A value "
        "that lies on the border between two integers may fall to either side, which now and then changes an answer."
    )


def _gemm(result: BenchmarkResult, name: str) -> None:
    st.header("What this machine can do at best")
    left, right = st.columns(2, gap="medium")
    here = result.environment
    with left:
        chart(
            figures.benchmark.latency.gemm(result.gemm, theme=theme()),
            key="bench-gemm-chart",
            file=f"{name}-gemm",
            how_to_read=_READ["gemm"],
        )
    with right:
        theoretical = {"int8": here.int8_ratio, "bf16": here.bf16_ratio}
        chart(
            figures.benchmark.latency.gemm_ratio(result.gemm, theoretical, theme=theme()),
            key="bench-gemm-ratio",
            file=f"{name}-gemm-ratio",
            how_to_read=_READ["gemm_ratio"],
        )


def _prediction(result: BenchmarkResult, name: str) -> None:
    assert result.speed is not None
    st.header("How well other plans are predicted")
    left, right = st.columns([2, 3], gap="medium", vertical_alignment="center")
    with left:
        chart(
            figures.benchmark.tradeoff.checks(result.speed.checks, theme=theme()),
            key="bench-checks",
            file=f"{name}-prediction",
            how_to_read=figures.benchmark.tradeoff.HOW_TO_READ["checks"],
        )
    errors = [abs(check.error) for check in result.speed.checks if not check.fitted]
    with right:
        if errors:
            st.metric("Largest error", f"{max(errors):.1f} %", help="Of plans that were measured only to check.")
        st.markdown(
            f"Times of layers in int8 and in floating point are added up and scaled to the two ends that were measured "
            f"({result.speed.int8_ms:.3g} ms with every layer in int8, {result.speed.float_ms:.3g} ms with none); a "
            f"tensor that crosses between the precisions costs {1000 * result.speed.boundary_ms_per_mb:.2g} µs "
            f"for each MB. On the Sensitivity page every switch of a layer shows the predicted latency at once."
        )


def _agreement_of(result: BenchmarkResult, row: BenchmarkRow) -> AgreementRow | None:
    identity = (row.engine, row.precision, row.plan)
    return next((one for one in result.agreement if (one.engine, one.precision, one.plan) == identity), None)
