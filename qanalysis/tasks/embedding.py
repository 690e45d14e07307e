"""Embedding: a vector for every sample, judged by its direction."""

from typing import Any

import torch
from torch.nn import functional

from qanalysis.nn.structure import shapes
from qanalysis.schema.errors import UserError
from qanalysis.schema.tasks import TASKS
from qanalysis.tasks.task import Task, precise


class Embedding(Task):
    """Cosine of the angle between a sample's vector and its target's, or fp32's, in %."""

    name = "embedding"
    words = TASKS["embedding"].words
    graded = True

    def answers(self, raw: Any) -> torch.Tensor:
        """See `Task.answers`: the first output, `(N, D)`."""
        return precise(self.outputs(raw)[0])

    def statistics(self, answers: torch.Tensor, targets: Any) -> torch.Tensor:
        """See `Task.statistics`: the cosine; two vectors of zeros are alike."""
        wanted = precise(torch.as_tensor(targets)).to(answers)
        if wanted.shape != answers.shape:
            raise UserError(
                f"targets of the task embedding must be vectors as the model gives them, but they are "
                f"{shapes(targets)} and its outputs {tuple(answers.shape)}"
            )
        both_zero = (wanted == 0).all(1) & (answers == 0).all(1)
        return torch.where(both_zero, 1.0, functional.cosine_similarity(answers, wanted, dim=1))

    def same(self, answers: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        """See `Task.same`."""
        return self.statistics(answers, reference).clamp(min=0)
