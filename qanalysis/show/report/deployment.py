"""Deployment: files, benchmarks and the search for the fastest plan, as parts of a report."""

from collections.abc import Sequence

import pandas as pd

from qanalysis import figures
from qanalysis.insight.words import counted
from qanalysis.schema.flavours import engine_label
from qanalysis.schema.results.benchmark import BenchmarkResult, FastestResult
from qanalysis.schema.results.export import ExportResult
from qanalysis.show.document import Block, Figure, Table, Text
from qanalysis.show.report.section import titled
from qanalysis.show.tables.speed import agreement_table, row_table


@titled("Export")
def export(result: ExportResult) -> Sequence[Block]:
    """The files, and whether they compute what the simulation does."""
    check = result.verification
    rows = [
        {"file": file.name, "flavour": file.flavour, "MB": file.bytes / 1e6, "SHA-256": file.sha256}
        for file in result.files
    ]
    return [
        Text(
            f"{counted(len(result.quantized_sites), 'layer')} in int8, {len(result.float_sites)} in floating point. "
            f"Run by {check.runtime} on {check.samples:,} {result.words.samples}, the file gives the "
            f"simulation's answer in "
            f"{check.agreement:.2f} % of them: {check.measured:.2f} % accuracy, {check.simulated:.2f} % simulated."
        ),
        Table(pd.DataFrame(rows), f"Files in {result.folder}"),
    ]


@titled("Benchmark")
def benchmark(result: BenchmarkResult) -> Sequence[Block]:
    """Latencies side by side, agreement, and the layers where int8 does not pay."""
    environment = result.environment
    features = ", ".join(environment.cpu_features) or "no int8 features"
    blocks: list[Block] = [
        Text(
            f"{environment.cpu}, {environment.cores} cores ({features}); "
            f"its instructions allow int8 {environment.int8_ratio:g} times the operations of fp32. Other programs used "
            f"{100 * environment.machine_load.others:.0f} % of the machine meanwhile."
        ),
        Table(row_table(result.rows), "Engines and precisions"),
    ]
    for batch in dict.fromkeys(row.batch for row in result.rows):
        figure = figures.benchmark.latency.latency([row for row in result.rows if row.batch == batch])
        blocks.append(Figure(figure, f"Latency, batch {batch}.", figures.benchmark.latency.HOW_TO_READ["latency"]))
    if result.agreement:
        blocks.append(
            Table(agreement_table(result.agreement, result.metric), "Answers of the engines against the simulation's")
        )
    if result.layers is not None:
        slow = [row for row in result.layers.rows if row.speedup is not None and row.speedup < 1]
        names = ", ".join(row.site for row in slow)
        blocks.append(
            Text(
                f"Of {counted(len(result.layers.rows), 'layer')}, int8 does not pay for {len(slow)}: {names}."
                if slow
                else f"Int8 is faster for all that were timed, {counted(len(result.layers.rows), 'layer')}."
            )
        )
    return blocks


@titled("The fastest plan within the target")
def fastest(result: FastestResult) -> Sequence[Block]:
    """What the search found."""
    if result.plan is None or result.measured_ms is None or result.accuracy is None:
        return [Text(f"No plan was found within {result.params.target:g} % of fp32 in {len(result.steps)} tries.")]
    floats = [site.name for site in result.coverage.sites if not result.plan.quantizes(site.name)]
    rows = [
        {"network": "fp32", "ms": result.float_ms, "accuracy %": result.fp32},
        {"network": "all in int8", "ms": result.int8_ms, "accuracy %": result.quantized},
        {"network": "fastest within the target", "ms": result.measured_ms, "accuracy %": result.accuracy},
    ]
    return [
        Text(
            f"Within {result.params.target:g} % of fp32, the fastest of {len(result.steps)} plans has "
            f"{counted(len(floats), 'layer')} in floating point{': ' + ', '.join(floats) if floats else ''}."
        ),
        Table(pd.DataFrame(rows), f"Measured side by side in {engine_label(result.params.engine)}"),
    ]
