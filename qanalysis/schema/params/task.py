"""What the parameters of all analyses have: model, data, samples, and the plan under which a model is quantized."""

from pydantic import Field, field_validator

from qanalysis.numerics.calibrate import parse
from qanalysis.schema.base import Record
from qanalysis.schema.plan import Plan
from qanalysis.schema.saved_plan import SavedPlan, find
from qanalysis.schema.site import Coverage
from qanalysis.schema.tasks import AUTO, CODE, TASKS, known


class TaskParams(Record):
    """The model, the data, and how to run them."""

    model: str = Field("sample:resnet20", description="model by name, e.g. sample:resnet20 or torchvision:resnet50")
    data: str = Field("sample:cifar10", description="data by name, e.g. sample:cifar10 or imagefolder:PATH")
    task: str = Field("auto", description=f"{AUTO}, {', '.join(TASKS)} or {CODE}package.module:Task")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    batch_size: int = Field(64, ge=1, description="samples per forward pass")
    seed: int = Field(0, ge=0, description="seed of the choice of samples")

    @field_validator("task")
    @classmethod
    def _task_known(cls, name: str) -> str:
        if not known(name):
            raise ValueError(f"choose from {AUTO}, {', '.join(TASKS)}, {CODE}package.module:Task")
        return name


class EvaluationParams(TaskParams):
    """An analysis that measures accuracy."""

    evaluation_samples: int = Field(2000, ge=1, description="samples to measure accuracy on")


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


class CalibratedParams(QuantizationParams):
    """An analysis of plans under one calibration."""

    calibration: str = Field("max", description="calibration of the activations")

    @field_validator("calibration")
    @classmethod
    def _one(cls, name: str) -> str:
        return cls.calibration_named(name)

    @classmethod
    def calibration_named(cls, name: str) -> str:
        """The calibration's name as `str` writes it.

        Raises:
            ValueError: for an unknown name.
        """
        return str(parse(name))

    @property
    def effective_calibration(self) -> str:
        """The saved plan's calibration, or the one given."""
        return self.plan.calibration if self.plan is not None else self.calibration


def canonical(names: tuple[str, ...]) -> tuple[str, ...]:
    """Calibration names as `str` writes them, each once, in their order."""
    return tuple(dict.fromkeys(str(parse(name)) for name in names))
