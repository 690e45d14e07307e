"""What a benchmark measured: times side by side, agreement, layers, and what the machine can do at best."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from qanalysis.schema.base import Record
from qanalysis.schema.params.deploy import BenchmarkParams, FastestParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.common import Environment, Metric, Result
from qanalysis.schema.results.speed import SpeedModel
from qanalysis.schema.site import Coverage

#: Share of the cores that others may use before timings are doubtful.
BUSY = 0.05


class Load(Record):
    """What else the machine did meanwhile.

    Attributes:
        average: load average over one minute when the measurement began.
        others: share of all cores that other processes used during it, from 0 to 1.
    """

    average: float
    others: float


class BenchmarkEnvironment(Environment):
    """Where a benchmark was run.

    Attributes:
        cpu: model of the CPU.
        cores: that the process may use.
        cpu_features: what it has for integers and half precision.
        gpus: names of the GPUs.
        gpu_features: dp4a and tensor cores of the first.
        int8_ratio: int8 over fp32 operations per cycle that the CPU's instructions allow.
        bf16_ratio: bf16 over fp32, likewise.
        engines: version of each engine that is here.
        missing: why others are not.
        machine_load: what else ran.
    """

    cpu: str
    cores: int
    cpu_features: tuple[str, ...]
    gpus: tuple[str, ...]
    gpu_features: tuple[str, ...]
    int8_ratio: float
    bf16_ratio: float
    engines: dict[str, str]
    missing: dict[str, str]
    machine_load: Load


class Latency(Record):
    """Times of single inferences, in ms.

    Attributes:
        min: the shortest.
        median: half were shorter.
        p95: 95 % were shorter.
        spread: interquartile range over the median.
        runs: how many there were.
    """

    min: float
    median: float
    p95: float
    spread: float
    runs: int


class BenchmarkRow(Record):
    """One network in one engine.

    Attributes:
        engine: name of the engine.
        precision: fp32, bf16, fp16, int8, or int8+bf16 (the rest in bf16).
        plan: which plan its int8 sites are from: `plan` for the one asked for, or a saved plan's name; empty in
            floating point.
        batch: samples of one inference.
        latency_ms: times of one inference.
        throughput: samples per second at the median.
        speedup: median over rounds of the time of the same engine's fp32 row of the same batch (where it has
            none, of the first fp32 row) over this one's.
        speedup_interval: 95 % interval of it (bootstrap over rounds).
        int8_sites: sites that the engine really executes in int8, by its own account.
        planned_sites: sites that the plan has in int8.
        sites: sites of the model.
        memory_mb: peak memory of the engine's process, in MB.
        file_mb: size of the file, in MB; None for the model itself.
        compile_seconds: time until it was ready.
    """

    engine: str
    precision: str
    plan: str = ""
    batch: int
    latency_ms: Latency
    throughput: float
    speedup: float | None
    speedup_interval: tuple[float, float] | None
    int8_sites: int
    planned_sites: int
    sites: int
    memory_mb: float
    file_mb: float | None
    compile_seconds: float


def int8_row(rows: Sequence[BenchmarkRow]) -> BenchmarkRow | None:
    """The row that stands for the plan in force: of its engines the one that really runs most of it in int8, and of
    those the fastest; at the first batch size among the rows. None where no engine ran it.
    """
    wanted = [row for row in rows if row.plan == "plan" and row.batch == rows[0].batch]
    return max(wanted, key=lambda row: (row.int8_sites, -row.latency_ms.median), default=None)


def fp32_row(rows: Sequence[BenchmarkRow], row: BenchmarkRow) -> BenchmarkRow | None:
    """The row in floating point of the same engine and batch size as `row`; None where it was not measured."""
    same = (one for one in rows if (one.engine, one.batch, one.precision) == (row.engine, row.batch, "fp32"))
    return next(same, None)


class AgreementRow(Record):
    """Answers of an engine against those of the simulation, on the evaluation samples.

    Attributes:
        engine: name of the engine.
        precision: as in the rows.
        plan: as in the rows.
        samples: how many.
        agreement: top-1 answers equal to the simulation's (for floating point, to the fp32 model's), in %.
        accuracy: in the engine, in %.
        simulated: of the simulation, in %.
    """

    engine: str
    precision: str
    plan: str
    samples: int
    agreement: float
    accuracy: float
    simulated: float


class LayerRow(Record):
    """One site in each precision. Keys are precisions: fp32, bf16, int8.

    Attributes:
        site: its name.
        kind: convolution, linear, …
        macs: multiply-accumulates for one sample.
        planned: whether the plan has it in int8.
        ms: time of its product; split by multiply-accumulates where the engine fused several.
        conversion_ms: time to convert and reorder its inputs.
        ran: precision that the engine really executed it in.
        kernel: the engine's name of the kernel.
        fused_with: other sites that were executed in the same step.
        gops: operations (two for a multiply-accumulate) per second reached, in 10^9.
        intensity: operations per byte of inputs, weights and outputs.
        roof: share reached of what memory and arithmetic of this machine allow, from 0 to 1.
        bound: whether arithmetic or memory limits it.
        speedup: fp32 over int8, conversions included; None if one of them was not measured.
    """

    site: str
    kind: str
    macs: int
    planned: bool
    ms: dict[str, float]
    conversion_ms: dict[str, float]
    ran: dict[str, str]
    kernel: dict[str, str]
    fused_with: tuple[str, ...] = ()
    gops: dict[str, float] = Field(default_factory=dict)
    intensity: dict[str, float] = Field(default_factory=dict)
    roof: dict[str, float] = Field(default_factory=dict)
    bound: dict[str, Literal["compute", "memory"]] = Field(default_factory=dict)
    speedup: float | None = None


class Layers(Record):
    """Where the time goes, in one engine and for one batch size.

    Attributes:
        engine: name of the engine.
        batch: samples of one inference.
        rows: one for each site.
        other_ms: time of everything that is no site (additions, activations, pooling), by precision.
        total_ms: sum of all steps, by precision.
    """

    engine: str
    batch: int
    rows: tuple[LayerRow, ...]
    other_ms: dict[str, float]
    total_ms: dict[str, float]


class GemmRow(Record):
    """A product of two square matrices, one of them constant.

    Attributes:
        engine: name of the engine.
        size: rows and columns.
        precision: fp32, bf16 or int8.
        ms: shortest time.
        gops: operations per second, in 10^9.
    """

    engine: str
    size: int
    precision: str
    ms: float
    gops: float


class Roofline(Record):
    """What this machine reached at best.

    Attributes:
        peak_gops: of a product of matrices or a layer, whichever was faster, by precision; 10^9 operations per second.
        bandwidth_gbs: of memory, in 10^9 bytes per second (reads and writes of large arrays).
    """

    peak_gops: dict[str, float]
    bandwidth_gbs: float


class PlanPoint(Record):
    """A plan that was measured: a point of accuracy against speed.

    Attributes:
        name: `fp32`, `plan`, or the saved plan's name.
        plan: the plan; None in floating point.
        engine: where it was timed.
        batch: samples of one inference.
        latency_ms: its shortest latency, which the speed model predicts, too.
        accuracy: of the simulation, in %.
        front: whether no other point is faster and at least as accurate.
    """

    name: str
    plan: Plan | None
    engine: str
    batch: int
    latency_ms: float
    accuracy: float
    front: bool


class BenchmarkResult(Result):
    """Engines and precisions side by side.

    Attributes:
        rows: one for each network, engine and batch size.
        agreement: whether the engines answer what the simulation does.
        layers: where the time goes; None if it was not asked for, or no engine tells.
        gemm: throughput of matrix products against size (Table 1).
        roofline: the peaks that layers are held against; None if not measured.
        speed: predicts the latency of other plans; None if not asked for.
        points: accuracy against speed.
        fp32: accuracy in floating point, in %.
    """

    analysis: Literal["benchmark"] = "benchmark"
    environment: BenchmarkEnvironment
    params: BenchmarkParams
    coverage: Coverage
    metric: Metric
    fp32: float
    rows: tuple[BenchmarkRow, ...]
    agreement: tuple[AgreementRow, ...]
    layers: Layers | None = None
    gemm: tuple[GemmRow, ...] = ()
    roofline: Roofline | None = None
    speed: SpeedModel | None = None
    points: tuple[PlanPoint, ...] = ()
    float_sites: dict[str, str]


class SpeedStep(Record):
    """One plan that the search tried.

    Attributes:
        skipped: sites in floating point.
        accuracy: in %.
        relative: 100 (accuracy - fp32) / fp32, in %.
        predicted_ms: its latency by the speed model.
        accepted: whether the search went on from it.
        why: what it was tried for.
    """

    skipped: tuple[str, ...]
    accuracy: float
    relative: float
    predicted_ms: float
    accepted: bool
    why: str


class FastestResult(Result):
    """The fastest plan within a loss of accuracy.

    Attributes:
        fp32: accuracy in floating point, in %.
        quantized: accuracy with all sites in int8, in %.
        speed: the model that latencies were predicted with.
        steps: the plans tried, in order.
        plan: the fastest plan within the target; None if there is none.
        accuracy: of the plan, in %.
        predicted_ms: its latency by the model.
        measured_ms: its latency, measured side by side with both ends.
        float_ms: measured latency in floating point.
        int8_ms: measured latency with all sites in int8.
    """

    analysis: Literal["fastest"] = "fastest"
    environment: BenchmarkEnvironment
    params: FastestParams
    coverage: Coverage
    metric: Metric
    fp32: float
    quantized: float
    speed: SpeedModel
    steps: tuple[SpeedStep, ...]
    plan: Plan | None
    accuracy: float | None
    predicted_ms: float | None
    measured_ms: float | None
    float_ms: float
    int8_ms: float
