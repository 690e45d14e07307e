"""Engines and processors of a machine, as a value: the dashboard asks another process for it."""

from qanalysis.schema.base import Record


class EngineCard(Record):
    """One engine, whether or not it is here.

    Attributes:
        engine: its name.
        available: whether it can be used.
        reason: why not, and how to get it; None if it can.
        version: of the runtime; empty if it is not here.
        precisions: what it can be asked for on this machine.
        purpose: what it is for.
    """

    engine: str
    available: bool
    reason: str | None
    version: str
    precisions: tuple[str, ...]
    purpose: str


class Processors(Record):
    """What the machine computes with.

    Attributes:
        cpu: model of the CPU.
        cores: that the process may use.
        cpu_features: what it has for integers and half precision, by common names.
        gpus: name and compute capability of each NVIDIA GPU.
        gpu_features: dp4a and tensor cores of the first.
        int8_ratio: int8 over fp32 operations per cycle of the CPU (Table 1 of the paper is the same for GPUs).
        bf16_ratio: bf16 over fp32, likewise; 1 where there is no such unit.
    """

    cpu: str
    cores: int
    cpu_features: tuple[str, ...]
    gpus: tuple[tuple[str, str], ...]
    gpu_features: tuple[str, ...]
    int8_ratio: float
    bf16_ratio: float


class Machine(Record):
    """Engines and processors."""

    engines: tuple[EngineCard, ...]
    features: Processors
