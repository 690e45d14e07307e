"""Regression: numbers for every sample."""

from typing import Any

import torch
from torch import nn

from qanalysis.nn.structure import Inputs, shapes
from qanalysis.schema.errors import UserError
from qanalysis.schema.tasks import TASKS
from qanalysis.tasks.task import Statistics, Task, precise


class Regression(Task):
    """1 minus the sum of squared errors over the sum of squared targets, in %."""

    name = "regression"
    words = TASKS["regression"].words
    learns = True

    def answers(self, raw: Any) -> torch.Tensor:
        """See `Task.answers`: the first output, flat."""
        return precise(self.outputs(raw)[0])

    def statistics(self, answers: torch.Tensor, targets: Any) -> torch.Tensor:
        """See `Task.statistics`: squared error and squared target of every sample, `(N, 2)`."""
        wanted = _alike(answers, targets)
        return torch.stack([(answers - wanted).square().sum(1), wanted.square().sum(1)], 1)

    def accuracy(self, means: Statistics) -> float:
        """See `Task.accuracy`."""
        return 100 * (1 - float(means[0]) / max(float(means[1]), 1e-300))

    def same(self, answers: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        """See `Task.same`."""
        noise, signal = self.statistics(answers, reference).unbind(1)
        return 1 - (noise / signal.clamp(min=1e-300)).clamp(max=1)

    def loss(
        self, model: nn.Module, inputs: Inputs, targets: Any, teacher: nn.Module | None, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        """See `Task.loss`: mean squared error to the targets, or the teacher's outputs."""
        if teacher is not None:
            return super().loss(model, inputs, targets, teacher, label_smoothing)
        given = self.outputs(self.call(model, inputs))[0].float().flatten(1)
        return (given - _alike(given, targets)).square().mean(1).sum()


def _alike(answers: torch.Tensor, targets: Any) -> torch.Tensor:
    """Targets in the shape of the answers `(N, D)`.

    Raises:
        UserError: if they are not as many numbers.
    """
    wanted = torch.as_tensor(targets).to(answers).reshape(len(answers), -1)
    if wanted.shape != answers.shape:
        raise UserError(
            f"targets of the task regression must be as many numbers as the model gives, but they are "
            f"{shapes(targets)} and its outputs {tuple(answers.shape)}"
        )
    return wanted
