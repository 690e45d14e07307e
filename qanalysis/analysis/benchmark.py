"""Engines and precisions side by side: what int8 gains, where, and whether the engines compute what was promised."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qanalysis.analysis.measure.comparison import Comparison
from qanalysis.analysis.measure.evaluation import Answering, compared
from qanalysis.analysis.measure.progress import Report, silent, staged
from qanalysis.analysis.speed.deployment import Deployment, prepared
from qanalysis.analysis.speed.layers import layers, operand_elements, products, raised
from qanalysis.analysis.speed.model import speed_model
from qanalysis.analysis.speed.rounds import LoadMeter, Timed, measure, speedup, warning
from qanalysis.analysis.speed.subjects import PLAN, Subject, chosen, environment
from qanalysis.engines.export.graph import Network
from qanalysis.engines.layers import gathered, int8_sites
from qanalysis.engines.process import EngineProcess
from qanalysis.engines.protocol import Precision
from qanalysis.engines.registry import ENGINES
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.deploy import BenchmarkParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.benchmark import (
    AgreementRow,
    BenchmarkResult,
    BenchmarkRow,
    GemmRow,
    Layers,
    PlanPoint,
    Roofline,
)
from qanalysis.schema.results.speed import SpeedModel, pareto_front
from qanalysis.tasks.task import Task


@dataclass(frozen=True, eq=False)
class Bench:
    """What is measured: networks as files, and who runs them.

    Attributes:
        params: how.
        deployment: the model with its ranges.
        plans: by the name that rows give them.
        networks: by plan; under the empty name the one in floating point.
        files: the networks on disk.
        subjects: engine, precision and plan of every row.
        report: told of progress.
        notes: filled with what could not be measured, and why.
    """

    params: BenchmarkParams
    deployment: Deployment
    plans: Mapping[str, Plan]
    networks: Mapping[str, Network]
    files: Mapping[str, Path]
    subjects: Sequence[Subject]
    report: Report
    notes: list[str] = field(default_factory=list)

    @property
    def detailed(self) -> str | None:
        """The engine whose layers are looked at: the first that executes files."""
        return next((s.engine for s in self.subjects if ENGINES[s.engine].reads_files), None)


def run(params: BenchmarkParams, report: Report = silent, folder: Path | None = None) -> BenchmarkResult:
    """Measures latency by turns, then agreement, then layers, products of matrices, and what predicts other plans.

    Nothing of an earlier attempt is used again: times of different moments are not comparable.

    Raises:
        UserError: with one sentence: bad names, files or data; a plan that engines cannot execute; no engine that can.
    """
    start = time.perf_counter()
    subjects, notes = chosen(params)
    report = staged(report, _work(params))
    deployment = prepared(params, report)
    with tempfile.TemporaryDirectory(prefix="qanalysis-benchmark-") as place:
        bench = _bench(params, deployment, subjects, notes, report, Path(place))
        meter = LoadMeter()
        rows = [row for batch in params.batches for row in _timed(bench, batch, meter)]
        load = meter.load()
        agreement, accuracies = _agreement(bench)
        gemm, roofline = _products(bench) if params.gemm else ((), None)
        detail, roofline = _layers(bench, roofline) if params.layers else (None, roofline)
        speed = _speed(bench, Path(place)) if params.predict else None
    doubt = warning(load)
    cards = deployment.setup.cards(*((deployment.cut.note,) if deployment.cut.note else ()))
    cards["warnings"] = (*cards["warnings"], *((doubt,) if doubt else ()), *bench.notes)
    cards["environment"] = environment(deployment.setup, load)
    return BenchmarkResult(
        **cards,
        params=params,
        coverage=deployment.coverage,
        metric=deployment.setup.metric,
        fp32=accuracies[""],
        rows=tuple(rows),
        agreement=tuple(agreement),
        layers=detail,
        gemm=gemm,
        roofline=roofline,
        speed=speed,
        points=_points(rows, bench, accuracies),
        float_sites=deployment.float_sites(),
        seconds=time.perf_counter() - start,
    )


def _work(params: BenchmarkParams) -> dict[str, float]:
    """The stages in seconds, roughly."""
    rows = len(params.engines) * len(params.precisions) + len(params.plans)
    return {
        "trace": 5,
        "calibration": 0.02 * params.calibration_samples,
        **{f"batch {batch}": rows * (params.seconds + 3) for batch in params.batches},
        "agreement": 0.02 * params.evaluation_samples * (2 + len(params.plans)),
        "layers": 10.0 * params.layers,
        "gemm": 15.0 * params.gemm,
        "prediction": 8 * (params.seconds + 2) * params.predict,
    }


def _bench(
    params: BenchmarkParams,
    deployment: Deployment,
    subjects: Sequence[Subject],
    notes: Sequence[str],
    report: Report,
    folder: Path,
) -> Bench:
    """The networks of all plans, written to the folder."""
    plans = {PLAN: deployment.plan}
    for saved in params.plans:
        saved.check([site.name for site in deployment.coverage.sites])
        plans[saved.name] = saved.plan
    networks = {"": deployment.float_network()} | {name: deployment.network(plan) for name, plan in plans.items()}
    files = {name: folder / f"network-{number}.onnx" for number, name in enumerate(networks)}
    for name, path in files.items():
        path.write_bytes(networks[name].proto.SerializeToString())
    return Bench(params, deployment, plans, networks, files, subjects, report, list(notes))


def _open(bench: Bench, subject: Subject, batch: int) -> Timed | None:
    """An engine with a network; None, and a note why, where it cannot."""
    deployment = bench.deployment
    device = "cpu" if ENGINES[subject.engine].reads_files else str(deployment.setup.device)
    precision: Precision = subject.precision  # type: ignore[assignment]
    source = deployment.source(bench.files[subject.plan], precision, batch, bench.params.threads, device)
    try:
        return Timed(EngineProcess(subject.engine, source))
    except UserError as error:
        bench.notes.append(f"{subject.engine} in {subject.precision}, batch {batch}: {error}")
        return None


def _timed(bench: Bench, batch: int, meter: LoadMeter) -> list[BenchmarkRow]:
    """All networks at one batch size, by turns."""
    opened = {subject: timed for subject in bench.subjects if (timed := _open(bench, subject, batch)) is not None}
    rows: list[BenchmarkRow] = []
    int8: dict[Subject, int] = {}

    def tell(done: int, total: int) -> None:
        """After every round, what is known of all rows; numbers still move."""
        rows[:] = [_row(bench, subject, batch, opened, int8[subject]) for subject in opened]
        bench.report("table", rows=[row.model_dump(mode="json") for row in rows])
        bench.report("progress", stage=f"batch {batch}", done=done, total=total)

    try:
        for subject in list(opened):
            try:
                opened[subject].process.latency(0)
                int8[subject] = _int8_sites(bench, subject, opened[subject])
            except UserError as error:
                bench.notes.append(f"{subject.engine} in {subject.precision}, batch {batch}: {error}")
                opened.pop(subject).process.close()
        measure(list(opened.values()), bench.params.seconds, bench.params.rounds, tell)
        for row in rows:
            bench.report("row", **row.model_dump(mode="json"))
        meter.closing(*(timed.process for timed in opened.values()))
    finally:
        for timed in opened.values():
            timed.process.close()
    return rows


def _int8_sites(bench: Bench, subject: Subject, timed: Timed) -> int:
    """Sites that the engine really executes in int8."""
    if not subject.plan:
        return 0
    return len(int8_sites(timed.process.int8_layers(), bench.networks[subject.plan].nodes))


def _row(
    bench: Bench, subject: Subject, batch: int, opened: Mapping[Subject, Timed], executed_in_int8: int
) -> BenchmarkRow:
    timed = opened[subject]
    base = opened.get(Subject(subject.engine, "fp32"))
    if base is None:
        base = next((other for key, other in opened.items() if key.precision == "fp32"), None)
    faster, interval = (None, None) if base is None else speedup(base, timed)
    latency = timed.latency()
    planned = bench.deployment.quantized_sites(bench.plans[subject.plan]) if subject.plan else ()
    size = bench.files[subject.plan].stat().st_size / 1e6
    return BenchmarkRow(
        engine=subject.engine,
        precision=subject.precision,
        plan=subject.plan,
        batch=batch,
        latency_ms=latency,
        throughput=1e3 * batch / latency.median,
        speedup=faster,
        speedup_interval=interval,
        int8_sites=executed_in_int8,
        planned_sites=len(planned),
        sites=len(bench.deployment.coverage.sites),
        memory_mb=timed.process.peak_bytes() / 1e6,
        file_mb=size if ENGINES[subject.engine].reads_files else None,
        compile_seconds=timed.process.compile_seconds,
    )


def _agreement(bench: Bench) -> tuple[list[AgreementRow], dict[str, float]]:
    """Every engine that reads files against the simulation, and the accuracies of all plans by name, in %."""
    deployment, samples, report = bench.deployment, bench.params.evaluation_samples, bench.report
    setup = deployment.setup
    fp32 = Answering(setup, setup.model.module, samples)
    expected = {"": fp32}
    for name, plan in bench.plans.items():
        expected[name] = Answering(setup, deployment.simulation(plan), samples, judge=fp32)
    accuracies = {name: setup.task.accuracy_of(one.statistics(report, "agreement")) for name, one in expected.items()}
    rows = []
    for subject in bench.subjects:
        if not ENGINES[subject.engine].reads_files:
            continue
        timed = _open(bench, subject, bench.params.batch_size)
        if timed is None:
            continue
        plan_of = bench.plans.get(subject.plan)
        with timed.process as process:
            run_file = lambda x: deployment.finished(process.outputs(deployment.fed(x)), x, plan_of)  # noqa: B023, E731
            try:
                comparison = compared(expected[subject.plan], {"": run_file}, report, "agreement")[""]
            except UserError as error:
                bench.notes.append(f"agreement of {subject.engine} in {subject.precision}: {error}")
                continue
        rows.append(_agreement_row(setup.task, subject, comparison))
    return rows, accuracies


def _agreement_row(task: Task, subject: Subject, comparison: Comparison) -> AgreementRow:
    """An engine's answers against those of the simulation, or of the model in floating point."""
    return AgreementRow(
        engine=subject.engine,
        precision=subject.precision,
        plan=subject.plan,
        samples=len(comparison),
        agreement=100 * float(comparison.same.mean()),
        accuracy=task.accuracy_of(comparison.statistics),
        simulated=task.accuracy_of(comparison.reference_statistics),
    )


def _layers(bench: Bench, roofline: Roofline | None) -> tuple[Layers | None, Roofline | None]:
    """Where the time goes, and the roofline, which a layer may raise."""
    deployment, engine, batch = bench.deployment, bench.detailed, bench.params.batches[-1]
    macs = {site.name: site.macs for site in deployment.coverage.sites}
    measured = {}
    for subject in bench.subjects:
        if subject.engine != engine or subject.plan not in ("", PLAN):
            continue
        timed = _open(bench, subject, batch)
        if timed is not None:
            with timed.process as process:
                measured[subject.precision] = gathered(process.per_layer(), bench.networks[subject.plan].nodes, macs)
    bench.report("progress", stage="layers", done=1, total=1)
    if engine is None or not any(precision.sites for precision in measured.values()):
        bench.notes.append("No engine that was measured tells the times of its layers.")
        return None, roofline
    if roofline is not None:
        roofline = raised(roofline, measured, deployment.coverage, batch)
    sizes = operand_elements(deployment.on_cpu, deployment.cut, deployment.example)
    planned = frozenset(deployment.quantized_sites())
    return layers(engine, batch, measured, deployment.coverage, planned, sizes, roofline), roofline


def _products(bench: Bench) -> tuple[tuple[GemmRow, ...], Roofline | None]:
    """Throughput of matrix products, and the roofline that follows from it."""
    if bench.detailed is None:
        return (), None
    try:
        return products(bench.detailed, bench.params.threads)
    except UserError as error:
        bench.notes.append(f"Products of matrices were not measured: {error}")
        return (), None
    finally:
        bench.report("progress", stage="gemm", done=1, total=1)


def _speed(bench: Bench, folder: Path) -> SpeedModel | None:
    """What predicts the latency of other plans."""
    params, engine = bench.params, bench.detailed
    if engine is None:
        return None
    tell = lambda done, total: bench.report("progress", stage="prediction", done=done, total=total)  # noqa: E731
    batch = params.batches[-1]
    try:
        return speed_model(bench.deployment, engine, batch, params.threads, params.seconds, params.rounds, folder, tell)
    except UserError as error:
        bench.notes.append(f"Latencies of other plans cannot be predicted: {error}")
        return None


def _points(rows: Sequence[BenchmarkRow], bench: Bench, accuracies: Mapping[str, float]) -> tuple[PlanPoint, ...]:
    """Every plan, and floating point: accuracy against the speed in one engine at the last batch size.

    Args:
        rows: what was timed.
        bench: the plans, the engine and the batch size.
        accuracies: of the plans by name, in floating point under the empty name, in %.
    """
    batch = bench.params.batches[-1]
    points = [
        PlanPoint(
            name=row.plan or row.precision,
            plan=bench.plans.get(row.plan),
            engine=row.engine,
            batch=batch,
            latency_ms=row.latency_ms.min,
            accuracy=accuracies[row.plan],
            front=False,
        )
        for row in rows
        if row.engine == bench.detailed and row.batch == batch and row.precision in ("fp32", "int8")
    ]
    front = pareto_front([(point, point.latency_ms, point.accuracy) for point in points])
    return tuple(point.model_copy(update={"front": point in front}) for point in points)
