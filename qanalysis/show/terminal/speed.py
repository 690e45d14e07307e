"""What the command line prints of benchmarks and of the search for the fastest plan."""

from rich.console import Console
from rich.table import Table

from qanalysis.schema.results.benchmark import BenchmarkResult, FastestResult, Layers
from qanalysis.schema.results.speed import SpeedModel
from qanalysis.show.tables.speed import agreement_table, gemm_table, row_table, step_table
from qanalysis.show.terminal import frame

#: Columns of `row_table` that fit into a line.
_NARROW = (
    "engine",
    "precision",
    "plan",
    "batch",
    "shortest ms",
    "median ms",
    "samples/s",
    "speed-up",
    "95 % interval",
    "really int8",
    "file MB",
)


def benchmark(console: Console, value: BenchmarkResult) -> None:
    """Latencies, agreement, layers, products of matrices, predictions and points."""
    here = value.environment
    features = ", ".join((*here.cpu_features, *here.gpus, *here.gpu_features))
    console.print(f"{here.cpu}, {here.cores} cores ({features})", highlight=False)
    _rows(console, value)
    if value.agreement:
        _agreement(console, value)
    if value.layers is not None:
        _layers(console, value.layers)
    _gemm(console, value)
    if value.speed is not None:
        _speed(console, value.speed)
    front = [point for point in value.points if point.front]
    if front:
        console.print(
            "best of accuracy and speed: "
            + "; ".join(f"{point.name} {point.accuracy:.2f} % in {point.latency_ms:.2f} ms" for point in front),
            highlight=False,
        )


def fastest(console: Console, value: FastestResult) -> None:
    """The plans tried, and the one chosen."""
    console.print(frame.drawn(step_table(value.steps, value.metric)))
    console.print(
        f"fp32 {value.fp32:.2f} % in {value.float_ms:.3f} ms, all sites in int8 {value.quantized:.2f} % in "
        f"{value.int8_ms:.3f} ms"
    )
    if value.plan is None or value.measured_ms is None or value.accuracy is None:
        console.print(f"No plan that was tried loses {value.params.target:g} % or less; raise --most-tried.")
        return
    console.print(
        f"fastest within {value.params.target:g} %: {value.accuracy:.2f} % in {value.measured_ms:.3f} ms (predicted "
        f"{value.predicted_ms:.3f}), {value.float_ms / value.measured_ms:.2f} times as fast as fp32"
    )
    if value.plan.skip:
        console.print(f"skip: {','.join(sorted(value.plan.skip))}", highlight=False, soft_wrap=True)


def _rows(console: Console, value: BenchmarkResult) -> None:
    console.print(frame.drawn(row_table(value.rows), columns=_NARROW))


def _agreement(console: Console, value: BenchmarkResult) -> None:
    console.print(frame.drawn(agreement_table(value.agreement, value.metric)))


def _layers(console: Console, value: Layers) -> None:
    names = list(value.total_ms)
    table = Table("site", title=f"{value.engine}, batch {value.batch}: ms (with conversions), share of the roof")
    for heading in (*names, "ran", "speed-up", "bound"):
        table.add_column(heading, justify="right")
    for row in value.rows:
        times = []
        for name in names:
            if name not in row.ms:
                times.append("-")
                continue
            roof = f" {100 * row.roof[name]:.0f} %" if name in row.roof else ""
            times.append(f"{row.ms[name] + row.conversion_ms.get(name, 0.0):.3f}{roof}")
        last = next((name for name in ("int8", *reversed(names)) if name in row.ran), "")
        pays = "-" if row.speedup is None else f"{row.speedup:.2f}" + (" !" if row.speedup < 1 else "")
        table.add_row(row.site, *times, row.ran.get(last, ""), pays, row.bound.get(last, ""))
    table.add_row("other steps", *(f"{value.other_ms[name]:.3f}" for name in names), "", "", "")
    console.print(table)


def _gemm(console: Console, value: BenchmarkResult) -> None:
    if not value.gemm or value.roofline is None:
        return
    title = "products of matrices, 10⁹ operations per second"
    console.print(frame.drawn(gemm_table(value.gemm), title=title))
    peaks = value.roofline.peak_gops
    if "int8" in peaks and "fp32" in peaks:
        console.print(
            f"int8 : fp32 at best {peaks['int8'] / peaks['fp32']:.2f} : 1, by the instructions "
            f"{value.environment.int8_ratio:.3g} : 1; memory {value.roofline.bandwidth_gbs:.1f} GB/s"
        )


def _speed(console: Console, value: SpeedModel) -> None:
    errors = [f"{check.error:+.1f}" for check in value.checks if not check.fitted]
    console.print(
        f"latency of other plans can be predicted (batch {value.batch}): errors on plans measured to check it "
        f"{', '.join(errors)} %; a change of precision costs {value.boundary_ms_per_mb:.4f} ms per MB"
    )
