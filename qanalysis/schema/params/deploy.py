"""Parameters of export, benchmark and the search for the fastest plan."""

from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from qanalysis.schema.errors import UserError
from qanalysis.schema.flavours import ENGINES, FLAVOURS, PRECISIONS, Residual
from qanalysis.schema.params.task import CalibratedParams
from qanalysis.schema.saved_plan import SavedPlan, find


def _known_engine(name: str) -> str:
    if name not in ENGINES:
        raise UserError(f"Unknown engine {name!r}; choose from {', '.join(ENGINES)}.")
    return name


#: The name of an engine that there is.
EngineName = Annotated[str, AfterValidator(_known_engine)]


class DeployParams(CalibratedParams):
    """A plan under one calibration, for an engine."""

    residual: Residual = Field(
        "fp",
        description="residual additions: fp as in the paper, int8 for what skips (TensorRT), int8-both for both "
        "operands (fastest in OpenVINO)",
    )
    dynamic_size: bool = Field(False, description="leave height and width of images open in files, not the batch alone")


class ExportParams(DeployParams):
    """The plan as files that engines take, verified against the simulation."""

    flavours: tuple[str, ...] = Field(("onnx",), min_length=1, description="any of " + ", ".join(FLAVOURS))
    output: str = Field("", description="folder for the files; the job's, or the current one, if not given")

    @field_validator("flavours")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in FLAVOURS:
                raise UserError(f"Unknown flavour {name!r}; choose from {', '.join(FLAVOURS)}.")
        return tuple(dict.fromkeys(names))


class BenchmarkParams(DeployParams):
    """Engines and precisions side by side: latency, agreement, layers (Table 1)."""

    engines: tuple[str, ...] = Field(
        ("openvino", "onnxruntime", "torch"), min_length=1, description="any of " + ", ".join(ENGINES)
    )
    precisions: tuple[str, ...] = Field(
        ("fp32", "bf16", "int8"), min_length=1, description="any of " + ", ".join(PRECISIONS)
    )
    batches: tuple[Annotated[int, Field(ge=1)], ...] = Field((1, 8), min_length=1, description="samples per inference")
    plans: tuple[SavedPlan, ...] = Field((), description="saved plans to measure, too, by name or file")
    threads: int = Field(0, ge=0, description="threads of the engines; 0 takes all cores")
    seconds: float = Field(3.0, gt=0, description="time for each row")
    rounds: int = Field(10, ge=2, description="rounds in which the rows take turns")
    layers: bool = Field(True, description="measure single layers, for the last batch size")
    gemm: bool = Field(True, description="measure products of matrices, and memory")
    predict: bool = Field(True, description="measure what predicts the latency of other plans")

    @field_validator("engines", "precisions")
    @classmethod
    def _listed(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        known = ENGINES if info.field_name == "engines" else PRECISIONS
        for name in names:
            if name not in known:
                raise UserError(f"Unknown name {name!r}; choose from {', '.join(known)}.")
        return tuple(dict.fromkeys(names))

    @field_validator("plans", mode="before")
    @classmethod
    def _all_found(cls, plans: object) -> object:
        if not isinstance(plans, list | tuple):
            return plans
        return tuple(find(plan) if isinstance(plan, str) else plan for plan in plans)


class FastestParams(DeployParams):
    """The fastest plan whose loss of accuracy is within a target, by predicted latency."""

    engine: EngineName = Field("openvino", description="engine to be fast in")
    batch: int = Field(1, ge=1, description="samples per inference")
    threads: int = Field(0, ge=0, description="threads of the engine; 0 takes all cores")
    target: float = Field(1.0, ge=0, description="loss to accept, in % relative to fp32")
    most_tried: int = Field(24, ge=1, description="plans to measure the accuracy of at the most")
    seconds: float = Field(3.0, gt=0, description="time for each latency")
    evaluation_samples: int = Field(512, ge=1, description="samples to measure accuracy on")
    memory_mb: int = Field(1024, ge=0, description="memory for recorded outputs; less is slower, not different")
