"""Scores: a model's answers on a split, their accuracy with its interval, and what differs from the fp32 answers."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest

from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.progress import Report
from qanalysis.data.split import Split
from qanalysis.kernels.quantize import NotFiniteError
from qanalysis.schema.base import finite
from qanalysis.schema.errors import UserError
from qanalysis.schema.results.common import Score
from qanalysis.task import Task, logits

#: Seconds of work that a kill may cost.
_KEEP_EVERY = 1.0


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a model answered.

    Attributes:
        logits: `(N, classes)` float32.
        labels: `(N,)` int64, or None.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int64] | None

    @property
    def predictions(self) -> NDArray[np.int64]:
        """`(N,)` class with the largest logit."""
        return np.asarray(self.logits.argmax(1), np.int64)

    def hits(self, reference: "Outputs") -> NDArray[np.bool_]:
        """`(N,)` whether each answer is the label, or the reference's answer where there are no labels."""
        truth = reference.predictions if self.labels is None else self.labels
        return np.asarray(self.predictions == truth)


@torch.no_grad()
def answers(
    task: Task,
    model: Callable[[torch.Tensor], Any],
    samples: int,
    report: Report,
    stage: str,
    checkpoint: Checkpoint | None = None,
    split: Split | None = None,
) -> Outputs:
    """Runs a model over the first `samples` of a split; what the checkpoint knows is not computed again.

    Args:
        task: model, data and device.
        model: what is run.
        samples: how many, at the most.
        report: told of progress.
        stage: what it is called.
        checkpoint: where answers are kept.
        split: the samples; those for evaluation if not given.

    Raises:
        UserError: if the split is empty.
        NotFiniteError: if logits are not finite.
    """
    split = task.data.evaluation if split is None else split
    total = min(samples, len(split))
    checkpoint = checkpoint or Checkpoint(None)
    parts = _kept(checkpoint, stage)
    batches = sum(int(part["batches"]) for part in parts)
    done = sum(len(part["logits"]) for part in parts)
    report("progress", stage=stage, done=done, total=total)
    if done < total:
        pending: list[tuple[torch.Tensor, torch.Tensor | None]] = []
        kept_at = time.monotonic()
        for inputs, targets in islice(task.batches(split, samples), batches, None):
            pending.append((logits(model(inputs)).float().cpu(), targets))
            done += len(inputs)
            if time.monotonic() - kept_at > _KEEP_EVERY:
                parts.append(_keep(checkpoint, stage, batches, pending))
                batches, pending, kept_at = batches + len(pending), [], time.monotonic()
            report("progress", stage=stage, done=min(done, total), total=total)
        if pending:
            parts.append(_keep(checkpoint, stage, batches, pending))
    if not parts:
        raise UserError(f"{task.data.name} has no readable sample to evaluate on.")
    stacked = np.concatenate([part["logits"] for part in parts])
    if not np.isfinite(stacked).all():
        raise NotFiniteError(f"logits must be finite, but the model gave NaN or infinity ({stage}).")
    labelled = task.data.labelled and all("labels" in part for part in parts)
    return Outputs(stacked, np.concatenate([part["labels"] for part in parts]) if labelled else None)


def _kept(checkpoint: Checkpoint, stage: str) -> list[dict[str, NDArray[Any]]]:
    """The parts of a stage's answers that were kept, one after the other from the first batch on."""
    parts: list[dict[str, NDArray[Any]]] = []
    first = 0
    while (part := checkpoint.get(f"{stage} from {first}")) is not None:
        parts.append(part)
        first += int(part["batches"])
    return parts


def _keep(
    checkpoint: Checkpoint, stage: str, first: int, pending: list[tuple[torch.Tensor, torch.Tensor | None]]
) -> dict[str, NDArray[Any]]:
    part: dict[str, NDArray[Any]] = {"batches": np.array(len(pending))}
    part["logits"] = torch.cat([given for given, _ in pending]).numpy()
    labels = [targets for _, targets in pending if targets is not None]
    if labels:
        part["labels"] = torch.cat(labels).numpy()
    checkpoint.put(f"{stage} from {first}", **part)
    return part


def score(hits: NDArray[np.bool_]) -> Score:
    """Accuracy in % with its binomial standard error and 95 % Wilson interval."""
    n, k = len(hits), int(hits.sum())
    p = k / n
    interval = binomtest(k, n).proportion_ci(method="wilson")
    return Score(
        accuracy=100 * p,
        standard_error=100 * math.sqrt(p * (1 - p) / n),
        accuracy_interval=(100 * float(interval.low), 100 * float(interval.high)),
        samples=n,
    )


def paired_interval(hits: NDArray[np.bool_], reference: NDArray[np.bool_], z: float = 1.96) -> tuple[float, float]:
    """Interval of the change in accuracy, in points, from the samples that changed (paired).

    Half a sample is added to each of the four outcomes (Agresti and Min 2005), so that a few samples of which none
    changed do not pass for certainty.

    Args:
        hits: `(N,)` right answers of the one model.
        reference: `(N,)` right answers of the other.
        z: quantile of the normal distribution; 1.96 for 95 %.
    """
    n = len(hits) + 2
    gained, lost = (int((one & ~other).sum()) + 0.5 for one, other in ((hits, reference), (reference, hits)))
    difference = (gained - lost) / n
    error = z * math.sqrt(max(gained + lost - (gained - lost) ** 2 / n, 0)) / n
    return 100 * (difference - error), 100 * (difference + error)


def sqnr(quantized: Outputs, reference: Outputs) -> float | None:
    """Power of the reference's logits over that of their change, in dB; None if nothing changed."""
    signal = float(np.square(reference.logits, dtype=np.float64).sum())
    noise = float(np.square(quantized.logits.astype(np.float64) - reference.logits).sum())
    return finite(10 * math.log10(signal / noise)) if noise > 0 and signal > 0 else None
