"""What the command line prints of benchmarks and of the search for the fastest plan."""

from rich.console import Console
from rich.table import Table

from qanalysis.schema.results.benchmark import BenchmarkResult, FastestResult, Layers
from qanalysis.schema.results.speed import SpeedModel


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
    table = Table("tried")
    for heading in ("in fp32", f"{value.metric} %", "relative %", "predicted ms", "within"):
        table.add_column(heading, justify="right")
    for step in value.steps:
        within = "yes" if step.accepted else "no"
        numbers = (f"{step.accuracy:.2f}", f"{step.relative:+.2f}", f"{step.predicted_ms:.3f}")
        table.add_row(step.why, str(len(step.skipped)), *numbers, within)
    console.print(table)
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
    table = Table("engine", "precision", "plan")
    for heading in ("batch", "min ms", "median", "p95", "samples/s", "speed-up (95 %)", "int8 sites", "MB", "file MB"):
        table.add_column(heading, justify="right")
    for row in value.rows:
        times = row.latency_ms
        faster = "-"
        if row.speedup is not None and row.speedup_interval is not None:
            faster = f"{row.speedup:.2f} ({row.speedup_interval[0]:.2f} – {row.speedup_interval[1]:.2f})"
        table.add_row(
            row.engine,
            row.precision,
            row.plan,
            str(row.batch),
            *(f"{ms:.3f}" for ms in (times.min, times.median, times.p95)),
            f"{row.throughput:,.0f}",
            faster,
            f"{row.int8_sites} of {row.planned_sites}" if row.plan else "",
            f"{row.memory_mb:.0f}",
            "-" if row.file_mb is None else f"{row.file_mb:.2f}",
        )
    console.print(table)


def _agreement(console: Console, value: BenchmarkResult) -> None:
    table = Table("engine", "precision", "plan")
    for heading in ("agreement %", f"{value.metric} in the engine %", "simulated %"):
        table.add_column(heading, justify="right")
    for row in value.agreement:
        numbers = (f"{row.agreement:.2f}", f"{row.accuracy:.2f}", f"{row.simulated:.2f}")
        table.add_row(row.engine, row.precision, row.plan, *numbers)
    console.print(table)


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
    names = list(dict.fromkeys(row.precision for row in value.gemm))
    table = Table("matrix size", title="products of matrices, 10⁹ operations per second")
    for name in names:
        table.add_column(name, justify="right")
    for size in sorted({row.size for row in value.gemm}):
        found = {row.precision: row.gops for row in value.gemm if row.size == size}
        table.add_row(str(size), *(f"{found[name]:,.0f}" if name in found else "-" for name in names))
    console.print(table)
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
