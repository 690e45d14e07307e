"""What every result says: where it was made, of which model and data; and the accuracy of one measurement."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from pydantic import Field

from qanalysis.schema.base import Record

Metric = Literal["accuracy", "agreement"]


class Environment(Record):
    """Where a result was made."""

    qanalysis: str
    torch: str
    python: str
    machine: str
    device: str
    threads: int

    @classmethod
    def here(cls, device: str, threads: int) -> "Environment":
        """This process's environment."""
        return cls(
            qanalysis=_version("qanalysis"),
            torch=_version("torch"),
            python=platform.python_version(),
            machine=f"{platform.system()} {platform.machine()}",
            device=device,
            threads=threads,
        )


class ModelCard(Record):
    """What was loaded.

    Attributes:
        name: full name of the model.
        origin: a sentence about where it comes from.
        trained: False for random weights: accuracies then mean nothing.
        architecture: name of the architecture.
        parameters: number of parameters.
    """

    name: str
    origin: str
    trained: bool
    architecture: str
    parameters: int


class DataCard(Record):
    """What the model was run on.

    Attributes:
        name: full name of the data.
        origin: a sentence about where it comes from.
        labelled: whether accuracy can be measured; otherwise the metric is agreement with fp32.
        calibration: samples there are to calibrate on.
        evaluation: samples there are to evaluate on.
        classes: names of the classes, where known.
        warnings: unreadable images and the like.
    """

    name: str
    origin: str
    labelled: bool
    calibration: int
    evaluation: int
    classes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Score(Record):
    """One measured accuracy.

    Attributes:
        accuracy: top-1 in % of the labels, or of the fp32 model's answers where there are no labels.
        standard_error: of the accuracy, in percentage points (binomial).
        accuracy_interval: 95 % interval of the accuracy (Wilson), in %.
        samples: number of samples.
    """

    accuracy: float
    standard_error: float
    accuracy_interval: tuple[float, float] = Field(alias="interval")
    samples: int


#: Activation → (β, α): the ends of its range in the tensor's unit (section 3.1); None for an all-zero tensor.
Bounds = dict[str, tuple[float, float] | None]


class Result(Record):
    """What all results have."""

    version: Literal[1] = 1
    environment: Environment
    model: ModelCard
    data: DataCard
    seconds: float
    warnings: tuple[str, ...] = ()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
