"""Parameters of the analyses: what the CLI's options and the dashboard's forms are made from."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from qanalysis.numerics.calibrate import PAPER_CALIBRATIONS, parse
from qanalysis.numerics.spec import Scheme
from qanalysis.schema.base import Record
from qanalysis.schema.flavours import ENGINES, FLAVOURS, PRECISIONS, Residual
from qanalysis.schema.plan import Granularity, Parts, Plan
from qanalysis.schema.saved_plan import SavedPlan, find
from qanalysis.schema.site import Coverage

SensitivityMode = Literal["only", "without"]
Rank = Literal["kl", "accuracy"]
Search = Literal["order", "greedy"]
Ranges = Literal["fixed", "learned"]
BatchNorm = Literal["trained", "frozen", "folded"]
OptimizerName = Literal["auto", "sgd", "adamw"]
Autocast = Literal["none", "bf16", "fp16"]

#: In place of a calibration's name: the one that loses least.
BEST = "best"


class TaskParams(Record):
    """The model, the data, and how to run them."""

    model: str = Field("sample:resnet20", description="model by name, e.g. sample:resnet20 or torchvision:resnet50")
    data: str = Field("sample:cifar10", description="data by name, e.g. sample:cifar10 or imagefolder:PATH")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    batch_size: int = Field(64, ge=1, description="samples per forward pass")
    seed: int = Field(0, ge=0, description="seed of the choice of samples")


class EvaluationParams(TaskParams):
    """An analysis that measures accuracy."""

    evaluation_samples: int = Field(2000, ge=1, description="samples to measure accuracy on")


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


class QuantizationParams(EvaluationParams):
    """An analysis that measures the model quantized by a plan."""

    plan: SavedPlan | None = Field(
        None, description="a saved plan, by name or file: its bits, skipped sites and calibration are used"
    )
    bits: int = Field(8, ge=2, le=8, description="bits of weights and activations")
    weight_bits: int | None = Field(None, ge=2, le=8, description="bits of weights, if other than --bits")
    activation_bits: int | None = Field(None, ge=2, le=8, description="bits of activations, if other than --bits")
    skip: tuple[str, ...] = Field((), description="sites left in floating point, by exact name, comma-separated")
    calibration_samples: int = Field(512, ge=1, description="samples to calibrate on")

    @field_validator("plan", mode="before")
    @classmethod
    def _found(cls, plan: object) -> object:
        return find(plan) if isinstance(plan, str) else plan

    def effective_plan(self) -> Plan:
        """The saved plan, or the one that the other parameters describe, with `skip` left out, too."""
        plan = self.plan.plan if self.plan is not None else self._described()
        return plan.skipping(*self.skip)

    def checked_plan(self, coverage: Coverage) -> Plan:
        """The effective plan, if it fits the model with these sites.

        Raises:
            ValueError: if the saved plan is one of another model, or a site is skipped that the model does not have.
        """
        sites = [site.name for site in coverage.sites]
        if self.plan is not None:
            self.plan.check(sites)
        plan = self.effective_plan()
        plan.check(sites)
        return plan

    def _described(self) -> Plan:
        return Plan(weight_bits=self.weight_bits or self.bits, activation_bits=self.activation_bits or self.bits)


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


class WeightsParams(EvaluationParams):
    """Weights alone, per tensor and per channel, batch norm folded or not (Table 3)."""

    bits: int = Field(8, ge=2, le=8, description="bits of the weights")
    weight_scheme: Scheme = Field("scale", description="scale or affine")


class OneCalibrationParams(QuantizationParams):
    """An analysis of plans under one calibration."""

    calibration: str = Field("max", description="calibration of the activations")
    parts: Parts = Field("both", description="quantize weights and activations, or one of them")
    evaluation_samples: int = Field(512, ge=1, description="samples to measure accuracy on")
    memory_mb: int = Field(1024, ge=0, description="memory for recorded outputs; less is slower, not different")

    @field_validator("calibration")
    @classmethod
    def _one(cls, name: str) -> str:
        return str(parse(name))

    @property
    def effective_calibration(self) -> str:
        """The saved plan's calibration, or the one given."""
        return self.plan.calibration if self.plan is not None else self.calibration

    def _described(self) -> Plan:
        return super()._described().model_copy(update={"parts": self.parts})


class SensitivityParams(OneCalibrationParams):
    """One site quantized at a time, or all but one; then partial quantization (section 5.1, Fig. 3, Table 6)."""

    mode: SensitivityMode = Field("only", description="quantize only the one site, or all without it")
    rank: Rank = Field("kl", description="order sites by divergence of the logits, or by accuracy")
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

    search: Search = Field("order", description="skip in order of sensitivity, or rank again after every skip")
    order: tuple[str, ...] = Field((), description="sites in the order to skip them; measured if not given")
    rank: Rank = Field("kl", description="order sites by divergence of the logits, or by accuracy")
    target: float = Field(1.0, ge=0, description="loss to accept, in % relative to fp32")
    most_skipped: int = Field(10, ge=0, description="sites to leave in floating point at the most")
    width: int = Field(5, ge=1, description="candidates that the greedy search tries in every step")


class QatParams(QuantizationParams):
    """Quantization-aware training: a short fine-tune of the quantized model (section 5.2, 5.3, Tables 7 and 8)."""

    calibration: str = Field(
        BEST, description="calibration to start from, or best: the one that loses least without training"
    )
    activation_scheme: Scheme = Field("scale", description="scale or affine activations; learned ranges need scale")
    ranges: Ranges = Field("fixed", description="activation ranges: fixed, or learned (PACT)")
    range_learning_rate: float = Field(0.01, ge=0, description="learning rate of learned ranges")
    range_weight_decay: float = Field(0.03, ge=0, description="pull of learned ranges towards zero")
    batch_norm: BatchNorm = Field(
        "trained", description="statistics of batch norm: trained on, frozen as they are, or folded into the weights"
    )
    epochs: int | None = Field(None, ge=1, description="epochs; by default 10 % of the original training, if known")
    steps: int | None = Field(None, ge=1, description="steps of the optimizer, instead of epochs")
    minutes: float | None = Field(None, gt=0, description="train as many steps as fit into this time, instead")
    train_samples: int = Field(8000, ge=1, description="training samples to use")
    train_batch_size: int = Field(128, ge=1, description="samples of one step of the optimizer")
    accumulate: int = Field(1, ge=1, description="parts in which a step's samples pass, to save memory")
    optimizer: OptimizerName = Field("auto", description="auto takes that of the original training, else SGD")
    learning_rate: float | None = Field(
        None, gt=0, description="initial learning rate; by default a share of the original training's"
    )
    rate_share: float = Field(0.01, gt=0, le=1, description="that share, where learning_rate is not given")
    final_share: float = Field(0.01, ge=0, le=1, description="last learning rate over the initial one (cosine)")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD")
    weight_decay: float | None = Field(None, ge=0, description="of matrices and kernels; by default the original's")
    label_smoothing: float | None = Field(None, ge=0, lt=1, description="by default the original training's")
    teacher: bool = Field(
        False, description="learn the fp32 model's own answers instead of the labels (distillation), which need not be"
    )
    augment: bool = Field(True, description="random flips and crops of the training images")
    autocast: Autocast = Field("none", description="precision of the float part: none is float32")
    control: bool = Field(True, description="also fine-tune in floating point, to tell apart what training alone gains")
    patience: int = Field(0, ge=0, description="stop after so many epochs without a better one; 0 never does")

    @field_validator("calibration")
    @classmethod
    def _one(cls, name: str) -> str:
        return name if name == BEST else str(parse(name))

    @model_validator(mode="after")
    def _one_length(self) -> "QatParams":
        given = [name for name in ("epochs", "steps", "minutes") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"one of epochs, steps and minutes must be given at the most, but got {', '.join(given)}")
        if self.ranges == "learned" and self.effective_plan().activation_scheme != "scale":
            raise ValueError("learned ranges are symmetric: they need activation_scheme=scale")
        if self.train_batch_size % self.accumulate:
            raise ValueError(
                f"train_batch_size must be a multiple of accumulate, but {self.train_batch_size} is none of "
                f"{self.accumulate}"
            )
        return self

    @property
    def effective_calibration(self) -> str:
        """The saved plan's calibration, or the one given."""
        return self.plan.calibration if self.plan is not None else self.calibration

    def _described(self) -> Plan:
        return super()._described().model_copy(update={"activation_scheme": self.activation_scheme})


class DeployParams(QuantizationParams):
    """A plan under one calibration, for an engine."""

    calibration: str = Field("max", description="calibration of the activations")
    residual: Residual = Field("fp", description="skip connections in floating point (the paper) or int8 (TensorRT)")

    @field_validator("calibration")
    @classmethod
    def _one(cls, name: str) -> str:
        return str(parse(name))

    @property
    def effective_calibration(self) -> str:
        """The saved plan's calibration, or the one given."""
        return self.plan.calibration if self.plan is not None else self.calibration


class ExportParams(DeployParams):
    """The plan as files that engines take, verified against the simulation."""

    flavours: tuple[str, ...] = Field(("onnx",), min_length=1, description="any of " + ", ".join(FLAVOURS))
    output: str = Field("", description="folder for the files; the job's, or the current one, if not given")

    @field_validator("flavours")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in FLAVOURS:
                raise ValueError(f"Unknown flavour {name!r}; choose from {', '.join(FLAVOURS)}.")
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
                raise ValueError(f"Unknown name {name!r}; choose from {', '.join(known)}.")
        return tuple(dict.fromkeys(names))

    @field_validator("plans", mode="before")
    @classmethod
    def _all_found(cls, plans: object) -> object:
        if not isinstance(plans, list | tuple):
            return plans
        return tuple(find(plan) if isinstance(plan, str) else plan for plan in plans)


class FastestParams(DeployParams):
    """The fastest plan whose loss of accuracy is within a target, by predicted latency."""

    engine: str = Field("openvino", description="engine to be fast in")
    batch: int = Field(1, ge=1, description="samples per inference")
    threads: int = Field(0, ge=0, description="threads of the engine; 0 takes all cores")
    target: float = Field(1.0, ge=0, description="loss to accept, in % relative to fp32")
    most_tried: int = Field(24, ge=1, description="plans to measure the accuracy of at the most")
    seconds: float = Field(3.0, gt=0, description="time for each latency")
    evaluation_samples: int = Field(512, ge=1, description="samples to measure accuracy on")
    memory_mb: int = Field(1024, ge=0, description="memory for recorded outputs; less is slower, not different")

    @field_validator("engine")
    @classmethod
    def _known_engine(cls, name: str) -> str:
        if name not in ENGINES:
            raise ValueError(f"Unknown engine {name!r}; choose from {', '.join(ENGINES)}.")
        return name


class PlanParams(OneCalibrationParams):
    """One plan measured: accuracy, share of integer work, predicted size."""


class TrialsParams(OneCalibrationParams):
    """Plans measured one after the other as they are asked for, by a process that keeps model and data ready."""

    idle_seconds: float = Field(120.0, gt=0, description="time without a request after which the process ends")


def canonical(names: tuple[str, ...]) -> tuple[str, ...]:
    """Calibration names as `str` writes them, each once, in their order."""
    return tuple(dict.fromkeys(str(parse(name)) for name in names))


#: Analyses that only the dashboard starts: they take requests while they run.
INTERACTIVE = frozenset({"trials"})

PARAMS: dict[str, type[TaskParams]] = {
    "describe": DescribeParams,
    "evaluate": EvaluateParams,
    "calibrate": CalibrateParams,
    "ptq": PtqParams,
    "weights": WeightsParams,
    "sensitivity": SensitivityParams,
    "partial": PartialParams,
    "plan": PlanParams,
    "export": ExportParams,
    "benchmark": BenchmarkParams,
    "fastest": FastestParams,
    "qat": QatParams,
    "trials": TrialsParams,
}
