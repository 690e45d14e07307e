"""Protocol: what every engine can be asked, so that a benchmark treats all of them alike."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from qanalysis.schema.errors import UserError

Precision = Literal["fp32", "bf16", "fp16", "int8", "int8+bf16"]
#: Inputs or outputs by name; of a network with one input the name does not matter.
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Source:
    """What to compile, and for what.

    Attributes:
        path: the ONNX file.
        model: name of the model, for engines that take PyTorch's own.
        precision: what is asked for; with int8 the file says which layers, and what follows the plus is for the rest.
        batch: samples of one inference.
        shape: of one sample, where there is one input.
        threads: of the engine; 0 takes all cores.
        device: `cpu` or `cuda:N`.
        dtype: NumPy's name of the input's type.
        example: an `.npz` file with inputs of a few samples by name; needed where there are several, or where what they
            hold matters (ids).
        task: name of the task, for engines that take PyTorch's own models: it says what of them is run.
    """

    path: str
    model: str
    precision: Precision
    batch: int
    shape: tuple[int, ...]
    threads: int = 0
    device: str = "cpu"
    dtype: str = "float32"
    example: str = ""
    task: str = ""

    @property
    def inputs(self) -> Arrays:
        """Inputs to time on: those of the example; else normally distributed, and of integers zeros."""
        if self.example:
            with np.load(self.example, allow_pickle=False) as given:
                return {name: np.resize(given[name], (self.batch, *given[name].shape[1:])) for name in given.files}
        shape = (self.batch, *self.shape)
        if not np.issubdtype(np.dtype(self.dtype), np.floating):
            return {"input": np.zeros(shape, self.dtype)}
        return {"input": np.random.default_rng(0).standard_normal(shape, np.float32).astype(self.dtype)}

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Source":
        """The inverse of `asdict`, after a trip through JSON."""
        return cls(**{**values, "shape": tuple(values["shape"])})

    def json(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


@dataclass(frozen=True)
class LayerTime:
    """One step of a compiled network.

    Attributes:
        name: the engine's own name of it.
        nodes: names of the file's nodes that it executes.
        kind: the engine's name of what it does (Convolution, Reorder, …).
        kernel: the engine's name of how.
        precision: of its arithmetic, as it really ran: int8, fp32, bf16, fp16, or empty where there is none.
        ms: shortest time of one execution.
    """

    name: str
    nodes: tuple[str, ...]
    kind: str
    kernel: str
    precision: str
    ms: float


class Compiled(Protocol):
    """A network ready to run."""

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs by name, for inputs of a batch or less."""
        ...

    def latency(self, inputs: Arrays, seconds: float) -> list[float]:
        """Times of single inferences in ms, one after the other for about so many seconds; at least one."""
        ...

    def per_layer(self, inputs: Arrays, repeats: int) -> tuple[LayerTime, ...]:
        """Time of every step; empty where the engine does not tell."""
        ...

    def int8_layers(self) -> frozenset[str]:
        """Names of the file's nodes that are executed in integers, from the engine's own account."""
        ...


class Engine(Protocol):
    """A runtime that may be on this machine."""

    name: str
    #: What it is for, in a few words.
    purpose: str
    #: Whether it executes ONNX files, on the CPU or a device of its own; else the model itself, on the model's device.
    reads_files: bool

    def available(self) -> str | None:
        """None if it can be used; else why not, as a sentence that says how to get it."""
        ...

    def version(self) -> str:
        """Version of the runtime; empty if it is not here."""
        ...

    def precisions(self) -> tuple[Precision, ...]:
        """What it can be asked for on this machine."""
        ...

    def fitted(self, source: Source, folder: Path) -> Source:
        """The network in the form that the engine runs fastest; called in the process that asks, not to count as
        memory of the engine.

        Args:
            source: what is to be compiled.
            folder: for a changed file.
        """
        ...

    def compile(self, source: Source) -> Compiled:
        """Makes a network ready to run.

        Raises:
            UserError: if the engine cannot: one sentence.
        """
        ...


@contextmanager
def one_sentence(engine: str, source: Source) -> Iterator[None]:
    """Turns what a runtime raises into a `ValueError` of one sentence, naming memory where that is the reason."""
    try:
        yield
    except (RuntimeError, MemoryError, ValueError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, MemoryError) or any(part in text.lower() for part in ("bad_alloc", "memory", "allocate")):
            raise UserError(
                f"{engine} has not enough memory for batch {source.batch} in {source.precision}: use a smaller batch."
            ) from error
        raise UserError(f"{engine} cannot execute the network in {source.precision}: {text[:300]}") from error


def fed(inputs: Arrays, names: Sequence[str]) -> Arrays:
    """Inputs under the names that a network has for them.

    Raises:
        ValueError: if they are others.
    """
    if len(inputs) == len(names) == 1:
        return {names[0]: next(iter(inputs.values()))}
    if set(inputs) != set(names):
        raise ValueError(f"the network takes {', '.join(names)}, but was given {', '.join(inputs)}")
    return {name: inputs[name] for name in names}


def rows(inputs: Arrays) -> int:
    """Number of samples."""
    return len(next(iter(inputs.values())))
