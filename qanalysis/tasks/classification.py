"""Classification: one class for every sample."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from qanalysis.nn.scores import class_scores
from qanalysis.nn.structure import Inputs, leaves, shapes
from qanalysis.schema.errors import UserError
from qanalysis.schema.tasks import TASKS
from qanalysis.tasks.cut import Cut, Tensors, uncut
from qanalysis.tasks.task import Task, mean_nmse

#: What class scores are called in a file.
LOGITS = "logits"


class Classification(Task):
    """Top-1 accuracy in %.

    Args:
        classes: as many as the data has; None where that is not known.
        data: name of the data, for sentences.
        model: name of the model, likewise.
    """

    name = "classification"
    words = TASKS["classification"].words
    learns = True
    augmentable = True

    def __init__(self, classes: int | None = None, data: str = "the data", model: str = "the model") -> None:
        self._of_data = classes
        self._data, self._model = data, model
        #: Classes that the model tells apart; known once `check` has seen its outputs.
        self.classes = 0

    def check(self, raw: Any, targets: Any, samples: int) -> None:
        """See `Task.check`; notes how many classes the model tells apart."""
        boxes = isinstance(raw, list | tuple) and any(isinstance(one, Mapping) and "boxes" in one for one in raw)
        scores = None if boxes else class_scores(raw, self._of_data)
        if scores is None or len(scores) != samples:
            raise UserError(
                f"the task classification needs class scores (N, classes), but for {samples} sample"
                f"{'s' * (samples != 1)} the model returned {shapes(raw)}"
            )
        self.classes = scores.shape[1]
        if targets is not None and self._of_data is not None and self._of_data > self.classes:
            raise UserError(
                f"{self._data} has {self._of_data} classes, but {self._model} has {self.classes} classes: use data of "
                "these classes, or a model for that many."
            )

    def check_targets(self, targets: Any) -> None:
        """See `Task.check_targets`: class numbers that the model knows."""
        if not isinstance(targets, torch.Tensor) or targets.ndim != 1 or targets.is_floating_point():
            said = "lists" if isinstance(targets, list) else f"{targets.dtype} {tuple(targets.shape)}"
            raise UserError(
                f"{self._data} must have class numbers as targets for the task classification, but has {said}; say "
                "with --task what it is for."
            )
        low, high = int(targets.min()), int(targets.max())
        if self.classes and not 0 <= low <= high < self.classes:
            raise UserError(
                f"{self._data} has the label {low if low < 0 else high}, but {self._model} has {self.classes} classes, "
                f"0 to {self.classes - 1}: use data of these classes, or a model for that many."
            )

    def cut(self, model: nn.Module, example: Inputs) -> Cut:
        """See `Task.cut`: the class scores are called `logits` and come first."""

        def named(raw: Any) -> Tensors:
            scores = self.answers(raw)
            others = [value for _, value in leaves(raw) if value.is_floating_point() and not _same(value, scores)]
            return {LOGITS: scores} | {f"{LOGITS}_{number}": value for number, value in enumerate(others, 1)}

        return uncut(self.call, example, named)

    def answers(self, raw: Any) -> torch.Tensor:
        """See `Task.answers`: scores `(N, classes)`."""
        return class_scores(raw, self.classes or self._of_data)

    def as_targets(self, answers: torch.Tensor) -> torch.Tensor:
        """See `Task.as_targets`: fp32's classes."""
        return answers.argmax(1)

    def divergence(self, outputs: Sequence[torch.Tensor], reference: Sequence[torch.Tensor]) -> torch.Tensor:
        """See `Task.divergence`: KL(fp32 ‖ quantized) in nats, the sum over heads; NMSE where a head has no classes."""
        total = torch.zeros(())
        for one, other in zip(outputs, reference, strict=True):
            if one.ndim >= 2 and one.shape[1] >= 2 and one.shape[2:].numel() == 1:
                given, fp32 = (scores.flatten(1).detach().cpu().double() for scores in (one, other))
                log_p, log_q = fp32.log_softmax(1), given.log_softmax(1)
                total = total + (log_p.exp() * (log_p - log_q)).sum(1).clamp_(min=0)
            else:
                total = total + mean_nmse([one], [other])
        return total

    def statistics(self, answers: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """See `Task.statistics`: whether the answer is right."""
        return answers.argmax(1).cpu() == targets.cpu()

    def same(self, answers: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        """See `Task.same`: whether both say the same class."""
        return answers.argmax(1).cpu() == reference.argmax(1).cpu()

    def drawn(self, raw: Any, numbers: Sequence[int], draws: int) -> list[torch.Tensor]:
        """See `Task.drawn`: classes; of other heads as there."""
        scores = self.answers(raw)
        log_p = scores.log_softmax(1)
        labels = []
        for number, row in zip(numbers, log_p.detach().exp().cpu(), strict=True):
            generator = torch.Generator().manual_seed(number)
            labels.append(torch.multinomial(row, draws, replacement=True, generator=generator))
        chosen = torch.stack(labels).to(log_p.device)
        totals = [log_p.gather(1, chosen[:, draw : draw + 1]).sum() for draw in range(draws)]
        others = tuple(output for output in self.outputs(raw) if output.data_ptr() != scores.data_ptr())
        if not others:
            return totals
        return [one + other for one, other in zip(totals, super().drawn(others, numbers, draws), strict=True)]

    def loss(
        self, model: nn.Module, inputs: Inputs, targets: Any, teacher: nn.Module | None, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        """See `Task.loss`: cross entropy with the labels, or the teacher's probabilities."""
        scores = self.answers(self.call(model, inputs)).float()
        if teacher is not None:
            with torch.no_grad():
                targets = self.answers(self.call(teacher, inputs)).float().softmax(1)
        return functional.cross_entropy(scores, targets, label_smoothing=label_smoothing, reduction="sum")

    def validation_loss(self, batches: Iterable[tuple[Any, Any]]) -> float | None:
        """See `Task.validation_loss`: cross entropy with the labels."""
        scores, labels = zip(*batches, strict=True)
        return float(functional.cross_entropy(torch.cat(scores).float().cpu(), torch.cat(labels).cpu()))

    def chance(self) -> float:
        """See `Task.chance`: the entropy of equal probabilities."""
        return float(torch.tensor(float(max(self.classes, 1)), dtype=torch.float64).log())


def _same(value: torch.Tensor, scores: torch.Tensor) -> bool:
    return value is scores or scores._base is value
