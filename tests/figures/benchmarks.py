"""Benchmarks to draw, made by hand."""

from qanalysis.schema.params.deploy import BenchmarkParams, ExportParams, FastestParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.benchmark import (
    AgreementRow,
    BenchmarkEnvironment,
    BenchmarkResult,
    BenchmarkRow,
    FastestResult,
    GemmRow,
    Latency,
    LayerRow,
    Layers,
    Load,
    PlanPoint,
    Roofline,
    SpeedStep,
)
from qanalysis.schema.results.export import ExportedFile, ExportResult, SiteParity, Verification
from qanalysis.schema.results.speed import Check, Edge, SiteSpeed, SpeedModel
from tests.figures import factories

SITES = tuple(site.name for site in factories.COVERAGE.sites)
ENVIRONMENT = BenchmarkEnvironment(
    qanalysis="0",
    torch="2",
    python="3",
    machine="m",
    device="cpu",
    threads=2,
    cpu="a CPU",
    cores=2,
    cpu_features=("AVX-512 VNNI",),
    gpus=(),
    gpu_features=(),
    int8_ratio=4.0,
    bf16_ratio=2.0,
    engines={"openvino": "1", "onnxruntime": "2"},
    missing={"tensorrt": "There is no NVIDIA GPU here."},
    machine_load=Load(average=0.1, others=0.01),
)
COMMON = factories.COMMON | {"environment": ENVIRONMENT}


def row(engine: str = "openvino", precision: str = "int8", ms: float = 1.0, **changes) -> BenchmarkRow:
    values = {
        "engine": engine,
        "precision": precision,
        "plan": "plan" if precision.startswith("int8") else "",
        "batch": 8,
        "latency_ms": Latency(min=0.9 * ms, median=ms, p95=1.2 * ms, spread=0.05, runs=100),
        "throughput": 8e3 / ms,
        "speedup": 3.0 / ms,
        "speedup_interval": (2.9 / ms, 3.1 / ms),
        "int8_sites": 3 if precision.startswith("int8") else 0,
        "planned_sites": 3,
        "sites": 3,
        "memory_mb": 120.0,
        "file_mb": 0.3 if precision.startswith("int8") else 1.1,
        "compile_seconds": 0.2,
    }
    return BenchmarkRow(**values | changes)


ROWS = (row(precision="fp32", ms=3.0), row(), row("onnxruntime", "fp32", 3.3), row("onnxruntime", ms=6.0, int8_sites=0))


def layer(site: str, fp32: float, int8: float, **changes) -> LayerRow:
    values = {
        "site": site,
        "kind": "convolution",
        "macs": 1_000_000,
        "planned": True,
        "ms": {"fp32": fp32, "int8": int8},
        "conversion_ms": {"fp32": 0.0, "int8": 0.05},
        "ran": {"fp32": "fp32", "int8": "int8"},
        "kernel": {"fp32": "brgemm_f32", "int8": "brgemm_i8"},
        "gops": {"fp32": 16 / fp32, "int8": 16 / int8},
        "intensity": {"fp32": 10.0, "int8": 40.0},
        "roof": {"fp32": 0.8, "int8": 0.5},
        "bound": {"fp32": "compute", "int8": "memory"},
        "speedup": fp32 / (int8 + 0.05),
    }
    return LayerRow(**values | changes)


LAYERS = Layers(
    engine="openvino",
    batch=8,
    rows=(layer(SITES[0], 0.8, 0.25), layer(SITES[1], 0.2, 0.3), layer(SITES[2], 0.1, 0.02, fused_with=(SITES[1],))),
    other_ms={"fp32": 0.1, "int8": 0.1},
    total_ms={"fp32": 1.2, "int8": 0.82},
)
GEMM = tuple(
    GemmRow(engine="openvino", size=size, precision=precision, ms=1.0, gops=gops * size / 2048)
    for precision, gops in (("fp32", 200.0), ("bf16", 390.0), ("int8", 700.0))
    for size in (128, 512, 2048)
)
ROOFLINE = Roofline(peak_gops={"fp32": 200.0, "bf16": 390.0, "int8": 700.0}, bandwidth_gbs=30.0)
SPEED = SpeedModel(
    engine="openvino",
    batch=8,
    threads=0,
    sites=(
        SiteSpeed(site=SITES[0], int8_ms=0.3, float_ms=0.8, inputs=(Edge(sources=(), megabytes=0.1),)),
        SiteSpeed(site=SITES[1], int8_ms=0.35, float_ms=0.2, inputs=(Edge(sources=(SITES[0],), megabytes=1.0),)),
        SiteSpeed(site=SITES[2], int8_ms=0.07, float_ms=0.1, inputs=(Edge(sources=(SITES[1],), megabytes=1.0),)),
    ),
    int8_ms=1.0,
    float_ms=3.0,
    boundary_ms_per_mb=0.1,
    checks=(
        Check(skipped=1, measured_ms=1.5, predicted_ms=1.52, fitted=True),
        Check(skipped=2, measured_ms=2.0, predicted_ms=1.9, fitted=False),
    ),
)
POINTS = tuple(
    PlanPoint(
        name=name,
        plan=None if skip is None else Plan(skip=frozenset(skip)),
        engine="openvino",
        batch=8,
        latency_ms=ms,
        accuracy=accuracy,
        front=True,
    )
    for name, skip, ms, accuracy in (
        ("fp32", None, 3.0, 76.0),
        ("plan", (), 1.0, 75.0),
        ("without stem", (SITES[0],), 1.5, 75.8),
    )
)


def benchmark(**changes) -> BenchmarkResult:
    values = COMMON | {
        "params": BenchmarkParams(model="sample:n", data="sample:d"),
        "coverage": factories.COVERAGE,
        "metric": "accuracy",
        "fp32": 76.0,
        "rows": ROWS,
        "agreement": (
            AgreementRow(
                engine="openvino",
                precision="int8",
                plan="plan",
                samples=2000,
                agreement=99.9,
                accuracy=75.1,
                simulated=75,
            ),
        ),
        "layers": LAYERS,
        "gemm": GEMM,
        "roofline": ROOFLINE,
        "speed": SPEED,
        "points": POINTS,
        "float_sites": {},
    }
    return BenchmarkResult(**values | changes)


def step(skipped: tuple[str, ...], accuracy: float, ms: float, why: str = "a try") -> SpeedStep:
    loss = 100 * (accuracy - 76) / 76
    return SpeedStep(skipped=skipped, accuracy=accuracy, relative=loss, predicted_ms=ms, accepted=loss >= -1, why=why)


def fastest(**changes) -> FastestResult:
    values = COMMON | {
        "params": FastestParams(model="sample:n", data="sample:d", batch=8),
        "coverage": factories.COVERAGE,
        "metric": "accuracy",
        "fp32": 76.0,
        "quantized": 75.0,
        "speed": SPEED,
        "steps": (step((), 75.0, 1.0, "all sites in int8"), step((SITES[1],), 75.9, 0.95)),
        "plan": Plan(skip=frozenset({SITES[1]})),
        "accuracy": 75.9,
        "predicted_ms": 0.95,
        "measured_ms": 0.97,
        "float_ms": 3.0,
        "int8_ms": 1.0,
    }
    return FastestResult(**values | changes)


PARITY = (
    SiteParity(site=SITES[0], int8=True, before=0.0, output=1e-7),
    SiteParity(site=SITES[1], int8=False, before=2e-7, output=5e-7),
    SiteParity(site="logits", int8=False, before=3e-7, output=0.0),
)


def export(**changes) -> ExportResult:
    values = factories.COMMON | {
        "params": ExportParams(model="sample:n", data="sample:d"),
        "coverage": factories.COVERAGE,
        "metric": "accuracy",
        "folder": "/nowhere",
        "files": (ExportedFile(name="n_int8.onnx", flavour="onnx", bytes=1000, sha256="0" * 64),),
        "plan": Plan(),
        "opset": 19,
        "fp32": 76.0,
        "quantized_sites": SITES,
        "float_sites": {},
        "verification": Verification(
            runtime="onnxruntime 1",
            sites=PARITY,
            tolerance=1e-3,
            samples=2000,
            agreement=99.9,
            simulated=75.0,
            measured=75.1,
            logits=1e-3,
            noise=2e-3,
        ),
        "fp32_bytes": 4000,
        "export_seconds": 3.0,
    }
    return ExportResult(**values | changes)
