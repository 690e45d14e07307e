"""Engines and precisions side by side: what int8 gains, where, and whether the engines compute what was promised."""

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from qanalysis.analysis.benchmark_points import agreement_row, points
from qanalysis.analysis.measure.progress import Report, silent, staged
from qanalysis.analysis.measure.score import answers, score
from qanalysis.analysis.speed.deployment import Deployment, needs, prepared
from qanalysis.analysis.speed.subjects import PLAN, Subject, chosen, environment
from qanalysis.schema.params.deploy import BenchmarkParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.benchmark import AgreementRow, BenchmarkResult, BenchmarkRow, GemmRow, Layers, Roofline
from qanalysis.schema.results.speed import SpeedModel

if TYPE_CHECKING:
    from qanalysis.analysis.speed.rounds import LoadMeter, Timed
    from qanalysis.engines.export.graph import Network


def run(params: BenchmarkParams, report: Report = silent, folder: Path | None = None) -> BenchmarkResult:
    """Measures latency by turns, then agreement, then layers, products of matrices, and what predicts other plans.

    Nothing of an earlier attempt is used again: times of different moments are not comparable.

    Raises:
        ValueError: with one sentence: bad names, files or data; a plan that engines cannot execute; no engine that can.
    """
    start = time.perf_counter()
    needs("onnx", "onnxscript", "onnxruntime")
    subjects, notes = chosen(params)
    report = staged(report, _work(params))
    given = prepared(params, report)
    with tempfile.TemporaryDirectory(prefix="qanalysis-benchmark-") as place:
        result = _Benchmark(params, given, subjects, notes, report, Path(place)).result()
    return result.model_copy(update={"seconds": time.perf_counter() - start})


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


class _Benchmark:
    """One benchmark in its parts; each adds to the notes what could not be measured."""

    def __init__(
        self,
        params: BenchmarkParams,
        given: Deployment,
        subjects: list[Subject],
        notes: list[str],
        report: Report,
        folder: Path,
    ) -> None:
        self._params = params
        self._given = given
        self._report = report
        self._folder = folder
        self._plans: dict[str, Plan] = {PLAN: given.plan}
        for saved in params.plans:
            saved.check([site.name for site in given.observations.coverage.sites])
            self._plans[saved.name] = saved.plan
        self._networks: dict[str, Network] = {"": given.float_network()}
        self._networks |= {name: given.network(plan) for name, plan in self._plans.items()}
        self._files = {name: folder / f"network-{number}.onnx" for number, name in enumerate(self._networks)}
        for name, path in self._files.items():
            path.write_bytes(self._networks[name].proto.SerializeToString())
        self._subjects = list(subjects)
        self._notes = list(notes)

    def result(self) -> BenchmarkResult:
        """All parts, in turn."""
        from qanalysis.analysis.speed.rounds import LoadMeter, warning

        given, params = self._given, self._params
        meter = LoadMeter()
        rows = [row for batch in params.batches for row in self._timed(batch, meter)]
        load = meter.load()
        agreement, fp32, simulated = self._agreement()
        gemm, roofline = self._gemm() if params.gemm else ((), None)
        layers, roofline = self._layers(roofline) if params.layers else (None, roofline)
        speed = self._speed() if params.predict else None
        doubt = warning(load)
        cards = given.task.cards()
        cards["warnings"] = (*cards["warnings"], *((doubt,) if doubt else ()), *self._notes)
        cards["environment"] = environment(given.task, load)
        return BenchmarkResult(
            **cards,
            params=params,
            coverage=given.observations.coverage,
            metric=given.task.metric,
            fp32=fp32,
            rows=tuple(rows),
            agreement=tuple(agreement),
            layers=layers,
            gemm=gemm,
            roofline=roofline,
            speed=speed,
            points=points(rows, self._detailed, params.batches[-1], self._plans, simulated, fp32),
            float_sites=given.float_sites(given.plan),
            seconds=0.0,
        )

    def _open(self, subject: Subject, batch: int) -> "Timed | None":
        from qanalysis.analysis.speed.rounds import Timed
        from qanalysis.engines.process import EngineProcess
        from qanalysis.engines.protocol import Source

        source = Source(
            path=str(self._files[subject.plan]),
            model=self._given.task.model.name,
            precision=subject.precision,  # type: ignore[arg-type]
            batch=batch,
            shape=tuple(self._given.example.shape[1:]),
            threads=self._params.threads,
            device=str(self._given.task.device) if subject.engine.startswith("torch") else "cpu",
            dtype=self._given.dtype,
        )
        try:
            return Timed(EngineProcess(subject.engine, source))
        except ValueError as error:
            self._notes.append(f"{subject.engine} in {subject.precision}, batch {batch}: {error}")
            return None

    def _timed(self, batch: int, meter: "LoadMeter") -> list[BenchmarkRow]:
        """All networks at one batch size, by turns."""
        from qanalysis.analysis.speed.rounds import measure

        opened = {subject: timed for subject in self._subjects if (timed := self._open(subject, batch)) is not None}
        stage = f"batch {batch}"
        rows: list[BenchmarkRow] = []
        int8: dict[Subject, int] = {}

        def tell(done: int, total: int) -> None:
            """After every round, what is known of all rows; numbers still move."""
            rows[:] = [self._row(subject, timed, batch, opened, int8[subject]) for subject, timed in opened.items()]
            self._report("table", rows=[row.model_dump(mode="json") for row in rows])
            self._report("progress", stage=stage, done=done, total=total)

        try:
            for subject in list(opened):
                try:
                    opened[subject].process.latency(0)
                    int8[subject] = self._int8_sites(subject, opened[subject])
                except ValueError as error:
                    self._notes.append(f"{subject.engine} in {subject.precision}, batch {batch}: {error}")
                    opened.pop(subject).process.close()
            measure(list(opened.values()), self._params.seconds, self._params.rounds, tell)
            for row in rows:
                self._report("row", **row.model_dump(mode="json"))
            meter.closing(*(timed.process for timed in opened.values()))
        finally:
            for timed in opened.values():
                timed.process.close()
        return rows

    def _int8_sites(self, subject: Subject, timed: "Timed") -> int:
        """Sites that the engine really executes in int8."""
        from qanalysis.engines.layers import int8_sites

        if not subject.plan:
            return 0
        return len(int8_sites(timed.process.int8_layers(), self._networks[subject.plan].nodes))

    def _row(
        self, subject: Subject, timed: "Timed", batch: int, all_: dict[Subject, "Timed"], int8_sites: int
    ) -> BenchmarkRow:
        from qanalysis.analysis.speed.rounds import speedup

        base = all_.get(Subject(subject.engine, "fp32"))
        if base is None:
            base = next((one for other, one in all_.items() if other.precision == "fp32"), None)
        faster, interval = (None, None) if base is None else speedup(base, timed)
        latency = timed.latency()
        floats = self._given.float_sites(self._plans[subject.plan]) if subject.plan else {}
        total = len(self._given.observations.coverage.sites)
        uses_file = not subject.engine.startswith("torch")
        return BenchmarkRow(
            engine=subject.engine,
            precision=subject.precision,
            plan=subject.plan,
            batch=batch,
            latency_ms=latency,
            throughput=1e3 * batch / latency.median,
            speedup=faster,
            speedup_interval=interval,
            int8_sites=int8_sites,
            planned_sites=total - len(floats) if subject.plan else 0,
            sites=total,
            memory_mb=timed.process.peak_bytes() / 1e6,
            file_mb=self._files[subject.plan].stat().st_size / 1e6 if uses_file else None,
            compile_seconds=timed.process.compile_seconds,
        )

    def _agreement(self) -> tuple[list[AgreementRow], float, dict[str, float]]:
        """Every engine that reads files against the simulation; also accuracies in fp32 and of every plan."""
        task, samples = self._given.task, self._params.evaluation_samples
        expected = {"": answers(task, task.model.module, samples, self._report, "agreement")}
        for name, plan in self._plans.items():
            expected[name] = answers(task, self._given.simulation(plan), samples, self._report, "agreement")
        reference = expected[""]
        accuracy = {name: score(one.hits(reference)).accuracy for name, one in expected.items()}
        rows = []
        for subject in self._subjects:
            timed = None if subject.engine.startswith("torch") else self._open(subject, self._params.batch_size)
            if timed is None:
                continue
            with timed.process as process:
                try:
                    measured = answers(
                        task,
                        lambda x: torch.from_numpy(process.run(x.cpu().contiguous().numpy())),
                        samples,
                        self._report,
                        "agreement",
                    )
                except ValueError as error:
                    self._notes.append(f"agreement of {subject.engine} in {subject.precision}: {error}")
                    continue
            rows.append(agreement_row(subject, measured, expected[subject.plan], reference, accuracy[subject.plan]))
        return rows, accuracy[""], accuracy

    @property
    def _detailed(self) -> str | None:
        """The engine whose layers are looked at: the first that executes files."""
        return next((s.engine for s in self._subjects if not s.engine.startswith("torch")), None)

    def _layers(self, roofline: Roofline | None) -> tuple[Layers | None, Roofline | None]:
        """Where the time goes, and the roofline, which a layer may raise."""
        from qanalysis.analysis.speed import layers as benchmark_layers
        from qanalysis.engines.layers import gathered

        given, engine, batch = self._given, self._detailed, self._params.batches[-1]
        coverage = given.observations.coverage
        measured = {}
        for subject in self._subjects:
            if subject.engine != engine or subject.plan not in ("", PLAN):
                continue
            timed = self._open(subject, batch)
            if timed is not None:
                with timed.process as process:
                    steps = process.per_layer()
                macs = {site.name: site.macs for site in coverage.sites}
                measured[subject.precision] = gathered(steps, self._networks[subject.plan].nodes, macs)
        self._report("progress", stage="layers", done=1, total=1)
        if engine is None or not any(one.sites for one in measured.values()):
            self._notes.append("No engine that was measured tells the times of its layers.")
            return None, roofline
        if roofline is not None:
            roofline = benchmark_layers.raised(roofline, measured, coverage, batch)
        floats = given.float_sites(given.plan)
        planned = frozenset(site.name for site in coverage.sites if site.name not in floats)
        sizes = benchmark_layers.operand_elements(given.module, given.example)
        return benchmark_layers.layers(engine, batch, measured, coverage, planned, sizes, roofline), roofline

    def _gemm(self) -> tuple[tuple[GemmRow, ...], Roofline | None]:
        from qanalysis.analysis.speed.layers import products

        engine = self._detailed
        if engine is None:
            return (), None
        try:
            return products(engine, self._params.threads)
        except ValueError as error:
            self._notes.append(f"Products of matrices were not measured: {error}")
            return (), None
        finally:
            self._report("progress", stage="gemm", done=1, total=1)

    def _speed(self) -> SpeedModel | None:
        from qanalysis.analysis.speed.model import speed_model

        engine, params = self._detailed, self._params
        if engine is None:
            return None
        tell = lambda done, total: self._report("progress", stage="prediction", done=done, total=total)  # noqa: E731
        try:
            return speed_model(
                self._given,
                engine,
                params.batches[-1],
                params.threads,
                params.seconds,
                params.rounds,
                self._folder,
                tell,
            )
        except ValueError as error:
            self._notes.append(f"Latencies of other plans cannot be predicted: {error}")
            return None
