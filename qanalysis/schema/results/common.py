"""What every result says: where it was made, of which model and data; and the accuracy of one measurement."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from pydantic import Field

from qanalysis.schema.base import Record
from qanalysis.schema.tasks import TASKS, Words

#: What the accuracy of a result is called: the task's own metric, or that of agreement with fp32.
Metric = str


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
        activations: which of GELU and Swish it has, whose small negative values max calibration may lose (Appendix D).
    """

    name: str
    origin: str
    trained: bool
    architecture: str
    parameters: int
    activations: tuple[str, ...] = ()


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
        accuracy: the task's metric in % against the targets, or the fp32 model's answers where there are none.
        standard_error: of the accuracy, in percentage points: binomial where answers are right or wrong, by the delta
            method where accuracy is a function of means, else from leaving groups of samples out.
        accuracy_interval: 95 % interval of the accuracy, in %: Wilson's where answers are right or wrong.
        samples: number of samples.
    """

    accuracy: float
    standard_error: float
    accuracy_interval: tuple[float, float] = Field(alias="interval")
    samples: int


#: Activation → (β, α): the ends of its range in the tensor's unit (section 3.1); None for an all-zero tensor.
Bounds = dict[str, tuple[float, float] | None]


class Result(Record):
    """What all results have.

    Attributes:
        version: of the JSON form; results of version 1 know classification alone.
        task: what the model is for, a key of `schema.tasks.TASKS` or `python:package.module:Task`.
        words: what the task's numbers are called.
    """

    version: Literal[1, 2] = 2
    task: str = "classification"
    words: Words = TASKS["classification"].words
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
