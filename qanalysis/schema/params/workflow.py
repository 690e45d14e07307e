"""Parameters of the workflow (section 6, Fig. 5)."""

from pydantic import Field, field_validator

from qanalysis.schema.params.deploy import EngineName
from qanalysis.schema.params.task import QuantizationParams, canonical

#: Calibrations that the paper's workflow tries (section 6).
WORKFLOW_CALIBRATIONS = ("max", "entropy", "percentile:99.99", "percentile:99.999")


class WorkflowParams(QuantizationParams):
    """The paper's workflow: PTQ, partial quantization, QAT, until the loss is within the target (section 6, Fig. 5)."""

    calibrations: tuple[str, ...] = Field(WORKFLOW_CALIBRATIONS, min_length=1, description="comma-separated")
    target: float = Field(1.0, ge=0, description="loss to accept, in % relative to fp32")
    most_skipped: int = Field(10, ge=0, description="sites that may stay in floating point; 0 goes from PTQ to QAT")
    least_int8: float = Field(80.0, ge=0, le=100, description="share of the work that must stay in integers, in %")
    least_speedup: float = Field(
        0.0, ge=0, description="speed-up over fp32 that partial quantization must keep in the engine; 0 does not ask"
    )
    minutes: float = Field(
        5.0, ge=0, description="time for what follows PTQ to begin in, training included; 0 takes what it needs"
    )
    epochs: int | None = Field(None, ge=1, description="epochs of QAT, whatever time they take")
    sensitivity_samples: int = Field(512, ge=1, description="samples to rank sites on")
    memory_mb: int = Field(1024, ge=0, description="memory for recorded outputs; less is slower, not different")
    engine: EngineName = Field("openvino", description="engine to measure the speed in")
    deploy: bool = Field(True, description="measure the speed and write the ONNX file of what is recommended")
    output: str = Field("", description="folder for that file; the job's, or the current one, if not given")

    @field_validator("calibrations")
    @classmethod
    def _canonical(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return canonical(names)
