"""Parameters of the analyses: what the CLI's options and the dashboard's forms are made from."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from qanalysis.numerics.calibrate import PAPER_CALIBRATIONS
from qanalysis.numerics.spec import Scheme
from qanalysis.schema.params.task import CalibratedParams, EvaluationParams, QuantizationParams, TaskParams, canonical
from qanalysis.schema.plan import Granularity, Parts, Plan

SensitivityMode = Literal["only", "without"]
Rank = Annotated[
    Literal["divergence", "accuracy"], BeforeValidator(lambda name: "divergence" if name == "kl" else name)
]
PartialSearch = Literal["order", "greedy"]


class DescribeParams(TaskParams):
    """Which sites the model has and what is not covered."""


class EvaluateParams(EvaluationParams):
    """Accuracy in floating point."""


class CalibrateParams(TaskParams):
    """One pass over the calibration data; every calibration from it."""

    calibration_samples: int = Field(512, ge=1, description="samples to calibrate on")
    calibrations: tuple[str, ...] = Field((*PAPER_CALIBRATIONS, "mse"), min_length=1, description="comma-separated")
    bits: int = Field(8, ge=2, le=8, description="bits of the activations")
    activation_scheme: Scheme = Field("scale", description="scale (symmetric) or affine (zero point)")
    fold_bn: bool = Field(False, description="fold batch norm into the layer before it (Appendix C)")

    @field_validator("calibrations")
    @classmethod
    def _canonical(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return canonical(names)


class PtqParams(QuantizationParams):
    """Post-training quantization with several calibrations (Table 5)."""

    calibrations: tuple[str, ...] = Field(PAPER_CALIBRATIONS, min_length=1, description="comma-separated")
    weight_granularity: Granularity = Field("per-channel", description="ranges of the weights")
    weight_scheme: Scheme = Field("scale", description="scale or affine weights")
    activation_scheme: Scheme = Field("scale", description="scale or affine activations")
    fold_bn: bool = Field(False, description="fold batch norm into the layer before it (Appendix C)")

    @field_validator("calibrations")
    @classmethod
    def _canonical(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return canonical(names)

    def _described(self) -> Plan:
        settings = {
            "weight_granularity": self.weight_granularity,
            "weight_scheme": self.weight_scheme,
            "activation_scheme": self.activation_scheme,
        }
        return super()._described().model_copy(update=settings)


class ClipParams(PtqParams):
    """GELU and Swish clipped, then max calibration, beside the network as it is (Appendix D, Table 12)."""

    at: float = Field(10.0, gt=0, description="the largest output of GELU and Swish")


class AnswersParams(PtqParams):
    """Which samples are answered differently once quantized, and how each class fares."""

    calibrations: tuple[str, ...] = Field(("max",), min_length=1, description="comma-separated")


class WeightsParams(EvaluationParams):
    """Weights alone, per tensor and per channel, batch norm folded or not (Table 3)."""

    bits: int = Field(8, ge=2, le=8, description="bits of the weights")
    weight_scheme: Scheme = Field("scale", description="scale or affine")


class OneCalibrationParams(CalibratedParams):
    """An analysis that measures many plans."""

    parts: Parts = Field("both", description="quantize weights and activations, or one of them")
    activation_scheme: Scheme = Field("scale", description="scale or affine activations")
    evaluation_samples: int = Field(512, ge=1, description="samples to measure accuracy on")
    memory_mb: int = Field(1024, ge=0, description="memory for recorded outputs; less is slower, not different")

    def _described(self) -> Plan:
        settings = {"parts": self.parts, "activation_scheme": self.activation_scheme}
        return super()._described().model_copy(update=settings)


class SensitivityParams(OneCalibrationParams):
    """One site quantized at a time, or all but one; then partial quantization (section 5.1, Fig. 3, Table 6)."""

    mode: SensitivityMode = Field("only", description="quantize only the one site, or all without it")
    rank: Rank = Field("divergence", description="order sites by divergence of the outputs, or by accuracy")
    target: float = Field(1.0, ge=0, description="loss to accept after partial quantization, in % relative to fp32")
    most_skipped: int = Field(10, ge=0, description="sites to leave in floating point at the most")
    harmless: float = Field(
        0.0,
        ge=0,
        description="stop measuring a site when it surely loses fewer points of accuracy than this; 0 measures all",
    )
    proxies: bool = Field(True, description="also rank by the cheap scores of other tools, to see when they lie")


class PartialParams(OneCalibrationParams):
    """Sites left in floating point one after the other, until the loss is within the target (Table 6)."""

    search: PartialSearch = Field("order", description="skip in order of sensitivity, or rank again after every skip")
    order: tuple[str, ...] = Field((), description="sites in the order to skip them; measured if not given")
    rank: Rank = Field("divergence", description="order sites by divergence of the outputs, or by accuracy")
    target: float = Field(1.0, ge=0, description="loss to accept, in % relative to fp32")
    most_skipped: int = Field(10, ge=0, description="sites to leave in floating point at the most")
    width: int = Field(5, ge=1, description="candidates that the greedy search tries in every step")


class PlanParams(OneCalibrationParams):
    """One plan measured: accuracy, share of integer work, predicted size."""


class TrialsParams(OneCalibrationParams):
    """Plans measured one after the other as they are asked for, by a process that keeps model and data ready."""

    idle_seconds: float = Field(120.0, gt=0, description="time without a request after which the process ends")
