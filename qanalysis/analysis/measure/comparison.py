"""Comparison of a quantized model's answers with the fp32 ones, sample by sample, and what it sums up to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qanalysis.analysis.measure.score import paired_interval
from qanalysis.numerics.change import relative
from qanalysis.schema.base import finite
from qanalysis.schema.errors import UserError

#: Quantile of the normal distribution for 95 % intervals.
Z95 = 1.96


@dataclass(frozen=True, eq=False)
class Comparison:
    """What is left of two models' logits on the same `N` samples: enough for every measure, and little to keep.

    Attributes:
        hits: `(N,)` whether the answer is right (the label, or the fp32 answer where there are no labels).
        reference_hits: `(N,)` the same of the fp32 model.
        kl: `(N,)` KL(fp32 ‖ quantized) of the class probabilities, in nats.
        noise: `(N,)` sum of squares of the change of the logits.
        signal: `(N,)` sum of squares of the fp32 logits.
    """

    hits: NDArray[np.bool_]
    reference_hits: NDArray[np.bool_]
    kl: NDArray[np.float64]
    noise: NDArray[np.float64]
    signal: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.hits)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Its fields, to be kept in a file."""
        return dict(vars(self))

    @classmethod
    def joined(cls, parts: Sequence["Comparison"]) -> "Comparison":
        """One after the other."""
        names = cls.__dataclass_fields__
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def compare(logits: torch.Tensor, reference: torch.Tensor, labels: torch.Tensor | None) -> Comparison:
    """Compares logits `(N, classes)` of the same samples; computed in float64 on the CPU.

    Args:
        logits: of the quantized model.
        reference: of the fp32 model.
        labels: `(N,)`, or None to count agreement with the fp32 answers.

    Raises:
        UserError: if a logit is NaN or infinite.
    """
    given, fp32 = logits.detach().cpu().double(), reference.detach().cpu().double()
    if not torch.isfinite(given).all():
        raise UserError("logits must be finite, but the quantized model gave NaN or infinity")
    log_p, log_q = fp32.log_softmax(1), given.log_softmax(1)
    truth = fp32.argmax(1) if labels is None else labels.cpu()
    return Comparison(
        hits=(given.argmax(1) == truth).numpy(),
        reference_hits=(fp32.argmax(1) == truth).numpy(),
        kl=(log_p.exp() * (log_p - log_q)).sum(1).clamp_(min=0).numpy(),
        noise=(given - fp32).square().sum(1).numpy(),
        signal=fp32.square().sum(1).numpy(),
    )


def change(comparison: Comparison) -> dict[str, Any]:
    """The fields of `schema.sensitivity.Change`."""
    n = len(comparison)
    accuracy, fp32 = 100 * float(comparison.hits.mean()), 100 * float(comparison.reference_hits.mean())
    kl = float(comparison.kl.mean())
    error = Z95 * float(comparison.kl.std(ddof=1)) / math.sqrt(n) if n > 1 else 0.0
    signal, noise = float(comparison.signal.sum()), float(comparison.noise.sum())
    return {
        "accuracy": accuracy,
        "relative": relative(accuracy, fp32),
        "change_interval": paired_interval(comparison.hits, comparison.reference_hits),
        "kl": kl,
        "kl_interval": (max(0.0, kl - error), kl + error),
        "sqnr": finite(10 * math.log10(signal / noise)) if noise > 0 and signal > 0 else None,
        "samples": n,
    }
