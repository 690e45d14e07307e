"""Parameters of quantization-aware training (sections 5.2 and 5.3, Appendix A.2)."""

from typing import Literal

from pydantic import Field, model_validator

from qanalysis.numerics.spec import Scheme
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.task import CalibratedParams
from qanalysis.schema.plan import Plan

Ranges = Literal["fixed", "learned"]
BatchNorm = Literal["trained", "frozen", "folded"]
OptimizerName = Literal["auto", "sgd", "adamw"]
Autocast = Literal["none", "bf16", "fp16"]

#: In place of a calibration's name: the one that loses least.
BEST = "best"


class QatParams(CalibratedParams):
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
    augment: bool = Field(True, description="random flips and crops of the training samples, if they are images")
    autocast: Autocast = Field("none", description="precision of the float part: none is float32")
    control: bool = Field(True, description="also fine-tune in floating point, to tell apart what training alone gains")
    patience: int = Field(0, ge=0, description="stop after so many epochs without a better one; 0 never does")

    @model_validator(mode="after")
    def _consistent(self) -> "QatParams":
        given = [name for name in ("epochs", "steps", "minutes") if getattr(self, name) is not None]
        if len(given) > 1:
            raise UserError(f"one of epochs, steps and minutes must be given at the most, but got {', '.join(given)}")
        if self.ranges == "learned" and self.effective_plan().activation_scheme != "scale":
            raise UserError("learned ranges are symmetric: they need activation_scheme=scale")
        if self.train_batch_size % self.accumulate:
            raise UserError(
                f"train_batch_size must be a multiple of accumulate, but {self.train_batch_size} is none of "
                f"{self.accumulate}"
            )
        return self

    @classmethod
    def calibration_named(cls, name: str) -> str:
        """As for other analyses; `best` stands for the one that is found to be."""
        return name if name == BEST else super().calibration_named(name)

    def _described(self) -> Plan:
        return super()._described().model_copy(update={"activation_scheme": self.activation_scheme})
