"""Comparison of a quantized model's answers with the fp32 ones, sample by sample, and what it sums up to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qanalysis.analysis.measure.score import Z95, change_interval
from qanalysis.kernels.quantize import NotFiniteError
from qanalysis.numerics.change import relative
from qanalysis.schema.base import finite
from qanalysis.schema.errors import UserError
from qanalysis.tasks.task import Statistics, Task, alike, precise, squared_change


@dataclass(frozen=True, eq=False)
class Answered:
    """What a model answered to the samples of one batch.

    Attributes:
        answers: what statistics are made of.
        outputs: what is compared with the outputs of other models.
        targets: those of the samples, or the answers in their place.
        statistics: `(N, S)`.
        task: says what outputs mean.
    """

    answers: Any
    outputs: tuple[torch.Tensor, ...]
    targets: Any
    statistics: Statistics
    task: Task

    @property
    def nbytes(self) -> int:
        """Memory that it takes, once it has been compared with."""
        return 3 * sum(tensor.nbytes for tensor in self.outputs)

    @cached_property
    def prepared(self) -> Any:
        """Its outputs, as divergences take them."""
        return self.task.prepared(self.outputs)

    @cached_property
    def signal(self) -> NDArray[np.float64]:
        """Sum of squares of its outputs, `(N,)`."""
        return _array(sum(precise(output).square().sum(1).double().cpu() for output in self.outputs))


@dataclass(frozen=True, eq=False)
class Comparison:
    """What is left of two models' outputs on the same `N` samples: enough for every measure, and little to keep.

    Attributes:
        statistics: `(N, S)` what accuracy is made of.
        reference_statistics: `(N, S)` the same of the fp32 model.
        divergence: `(N,)` how far outputs are from fp32's, as the task measures it.
        noise: `(N,)` sum of squares of the change of all outputs.
        signal: `(N,)` sum of squares of the fp32 outputs.
        same: `(N,)` how much of every answer is fp32's, from 0 to 1.
    """

    statistics: Statistics
    reference_statistics: Statistics
    divergence: NDArray[np.float64]
    noise: NDArray[np.float64]
    signal: NDArray[np.float64]
    same: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.statistics)

    @classmethod
    def joined(cls, parts: Sequence["Comparison"]) -> "Comparison":
        """One after the other."""
        names = cls.__dataclass_fields__
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def answered(task: Task, raw: Any, targets: Any) -> Answered:
    """What a model answered, judged.

    Args:
        task: says what outputs mean.
        raw: what the model returned for a batch.
        targets: of the samples; None to judge by the answers themselves.

    Raises:
        NotFiniteError: if an output is NaN or infinite.
        UserError: if the task's statistics are not numbers.
    """
    outputs, answers = _outputs(task, raw, "the model"), task.answers(raw)
    wanted = task.as_targets(answers) if targets is None else targets
    return Answered(answers, outputs, wanted, statistics(task, answers, wanted), task)


def compare(task: Task, raw: Any, reference: Answered) -> Comparison:
    """Compares a model's outputs with those of fp32 on the same batch; small ones in float64 on the CPU.

    Args:
        task: says what outputs mean.
        raw: what the model returned.
        reference: what the fp32 model answered.

    Raises:
        NotFiniteError: if an output is NaN or infinite.
        UserError: if the task's statistics are not numbers.
    """
    outputs, answers = _outputs(task, raw, "the quantized model"), task.answers(raw)
    noise = sum(squared_change(one, other) for one, other in alike(outputs, reference.outputs))
    return Comparison(
        statistics=statistics(task, answers, reference.targets),
        reference_statistics=reference.statistics,
        divergence=_array(task.divergence(outputs, reference.prepared)),
        noise=_array(noise),
        signal=reference.signal,
        same=_array(task.same(answers, reference.answers)),
    )


def statistics(task: Task, answers: Any, targets: Any) -> Statistics:
    """The task's statistics `(N, S)` in float64.

    Raises:
        UserError: if they have another shape, or one of them is not a number.
    """
    values = _array(task.statistics(answers, targets))
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2:
        raise UserError(f"statistics of the task {task.name} must be (N,) or (N, S), but are {values.shape}")
    if task.smooth and not np.isfinite(values).all():
        sample = int(np.argwhere(~np.isfinite(values))[0, 0])
        raise UserError(
            f"statistics of the task {task.name} must be numbers, but those of sample {sample} of a batch hold "
            f"{values[sample][~np.isfinite(values[sample])][0]}"
        )
    return values


def change(task: Task, comparison: Comparison) -> dict[str, Any]:
    """The fields of `schema.results.sensitivity.Change`."""
    n = len(comparison)
    accuracy, fp32 = (task.accuracy_of(s) for s in (comparison.statistics, comparison.reference_statistics))
    divergence = float(comparison.divergence.mean())
    error = Z95 * float(comparison.divergence.std(ddof=1)) / math.sqrt(n) if n > 1 else 0.0
    return {
        "accuracy": accuracy,
        "relative": relative(accuracy, fp32),
        "change_interval": change_interval(task, comparison.statistics, comparison.reference_statistics),
        "divergence": divergence,
        "divergence_interval": (max(0.0, divergence - error), divergence + error),
        "sqnr": sqnr(comparison),
        "samples": n,
    }


def sqnr(comparison: Comparison) -> float | None:
    """Power of fp32's outputs over that of their change, in dB; None if nothing changed."""
    signal, noise = float(comparison.signal.sum()), float(comparison.noise.sum())
    return finite(10 * math.log10(signal / noise)) if noise > 0 and signal > 0 else None


def distance(comparison: Comparison) -> float:
    """Length of the change of the outputs over the length of fp32's, all samples together."""
    return math.sqrt(float(comparison.noise.sum()) / max(float(comparison.signal.sum()), 1e-60))


def _outputs(task: Task, raw: Any, who: str) -> tuple[torch.Tensor, ...]:
    outputs = task.outputs(raw)
    for tensor in outputs:
        if tensor.numel() and not all(map(math.isfinite, map(float, torch.aminmax(tensor)))):  # NaN is passed on
            raise NotFiniteError(f"outputs must be finite, but {who} gave NaN or infinity")
    return outputs


def _array(values: Any) -> NDArray[np.float64]:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values, np.float64)
