"""Scores: a model's answers on a split, their accuracy with its interval, and what differs from the fp32 answers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest

from qanalysis.analysis.report import Report, counted
from qanalysis.schema.base import finite
from qanalysis.schema.result import Score
from qanalysis.task import Task, logits


@dataclass(frozen=True, eq=False)
class Answers:
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

    def hits(self, reference: "Answers") -> NDArray[np.bool_]:
        """`(N,)` whether each answer is the label, or the reference's answer where there are no labels."""
        truth = reference.predictions if self.labels is None else self.labels
        return np.asarray(self.predictions == truth)


@torch.no_grad()
def answers(task: Task, model: Callable[[torch.Tensor], Any], samples: int, report: Report, stage: str) -> Answers:
    """Runs a model over the first `samples` of the evaluation split.

    Raises:
        ValueError: if the split is empty or logits are not finite.
    """
    split = task.data.evaluation
    total = min(samples, len(split))
    outputs: list[torch.Tensor] = []
    labels: list[torch.Tensor] = []
    for inputs, targets in counted(task.batches(split, samples), report, stage, total):
        outputs.append(logits(model(inputs)).float().cpu())
        if targets is not None:
            labels.append(targets)
    if not outputs:
        raise ValueError(f"{task.data.name} has no readable sample to evaluate on.")
    stacked = torch.cat(outputs).numpy()
    if not np.isfinite(stacked).all():
        raise ValueError(f"logits must be finite, but the model gave NaN or infinity ({stage}).")
    return Answers(stacked, torch.cat(labels).numpy() if labels and task.data.labelled else None)


def score(hits: NDArray[np.bool_]) -> Score:
    """Accuracy in % with its binomial standard error and 95 % Wilson interval."""
    n, k = len(hits), int(hits.sum())
    p = k / n
    interval = binomtest(k, n).proportion_ci(method="wilson")
    return Score(
        accuracy=100 * p,
        standard_error=100 * math.sqrt(p * (1 - p) / n),
        interval=(100 * float(interval.low), 100 * float(interval.high)),
        samples=n,
    )


def paired_interval(hits: NDArray[np.bool_], reference: NDArray[np.bool_]) -> tuple[float, float]:
    """95 % interval of the change in accuracy, in points, from the samples that changed (Wald, paired)."""
    n = len(hits)
    gained, lost = int((hits & ~reference).sum()), int((~hits & reference).sum())
    difference = (gained - lost) / n
    error = math.sqrt(max(gained + lost - (gained - lost) ** 2 / n, 0)) / n
    return 100 * (difference - 1.96 * error), 100 * (difference + 1.96 * error)


def sqnr(quantized: Answers, reference: Answers) -> float | None:
    """Power of the reference's logits over that of their change, in dB; None if nothing changed."""
    signal = float(np.square(reference.logits, dtype=np.float64).sum())
    noise = float(np.square(quantized.logits.astype(np.float64) - reference.logits).sum())
    return finite(10 * math.log10(signal / noise)) if noise > 0 and signal > 0 else None


def relative(accuracy: float, fp32: float) -> float:
    """100 (accuracy - fp32) / fp32, in % (Table 4)."""
    return 100 * (accuracy - fp32) / fp32 if fp32 else 0.0
