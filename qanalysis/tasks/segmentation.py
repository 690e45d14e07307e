"""Segmentation: a class for every pixel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from qanalysis.nn.structure import Inputs, leaves, shapes
from qanalysis.schema.errors import UserError
from qanalysis.schema.tasks import TASKS
from qanalysis.tasks.task import Statistics, Task

#: Pixels of this value are not judged, as in Pascal VOC's masks.
IGNORED = 255
#: Weight of an auxiliary head's loss, as in torchvision's reference training.
AUXILIARY = 0.5


class Segmentation(Task):
    """Mean over classes of intersection over union in %, as torchvision's reference defines it.

    Classes that are neither in a mask nor in an answer have no union and are left out of the mean.

    Args:
        classes: as many as the data has; None where that is not known.
        data: name of the data, for sentences.
    """

    name = "segmentation"
    words = TASKS["segmentation"].words
    learns = True

    def __init__(self, classes: int | None = None, data: str = "the data") -> None:
        self._of_data = classes
        self._data = data
        #: Classes that the model tells apart; known once `check` has seen its outputs.
        self.classes = 0

    def check(self, raw: Any, targets: Any, samples: int) -> None:
        """See `Task.check`; notes how many classes the model tells apart."""
        self.classes = self.scores(raw).shape[1]
        if targets is not None and self._of_data is not None and self._of_data > self.classes:
            raise UserError(
                f"{self._data} has {self._of_data} classes, but the model has {self.classes}, 0 to {self.classes - 1}: "
                "use masks of these classes, or a model for that many."
            )

    def check_targets(self, targets: Any) -> None:
        """See `Task.check_targets`: maps of class numbers that the model knows."""
        if not isinstance(targets, torch.Tensor) or targets.ndim != 3 or targets.is_floating_point():
            said = shapes(targets) if isinstance(targets, torch.Tensor) else f"a {type(targets).__name__}"
            raise UserError(
                f"{self._data} must have masks (N, H, W) of class numbers as targets for the task segmentation, but "
                f"has {said}; say with --task what it is for."
            )
        judged = targets[targets != IGNORED]
        if judged.numel() and self.classes and not 0 <= int(judged.min()) <= int(judged.max()) < self.classes:
            wrong = int(judged.min()) if int(judged.min()) < 0 else int(judged.max())
            raise UserError(
                f"{self._data} has the class {wrong} in a mask, but the model has {self.classes} classes, 0 to "
                f"{self.classes - 1} ({IGNORED} is not judged): use masks of these classes, or another model."
            )

    def answers(self, raw: Any) -> "Segmented":
        """See `Task.answers`."""
        return Segmented(self.scores(raw))

    def scores(self, raw: Any) -> torch.Tensor:
        """Scores `(N, classes, H, W)`: the output named `out` or `logits`, else the first map.

        Raises:
            UserError: if there is none.
        """
        maps = [(name, tensor) for name, tensor in leaves(raw) if _is_map(tensor)]
        if not maps:
            raise UserError(
                f"the task segmentation needs scores (N, classes, H, W), but the model returned {shapes(raw)}"
            )
        for wanted in ("out", "logits"):
            for name, tensor in maps:
                if name == wanted:
                    return tensor
        return maps[0][1]

    def as_targets(self, answers: "Segmented") -> torch.Tensor:
        """See `Task.as_targets`: fp32's masks."""
        return answers.classes

    def prepared(self, outputs: Sequence[torch.Tensor]) -> list[tuple[torch.Tensor, ...]]:
        """See `Task.prepared`: logarithms of the probabilities and these, for every map."""
        return [_with_probabilities(output) if _is_map(output) else (output,) for output in outputs]

    def divergence(
        self, outputs: Sequence[torch.Tensor], reference: Sequence[tuple[torch.Tensor, ...]]
    ) -> torch.Tensor:
        """See `Task.divergence`: KL(fp32 ‖ quantized) in nats, the mean over pixels and over heads."""
        heads = []
        for one, other in zip(outputs, reference, strict=True):
            if _is_map(one):
                log_p, p = other
                # one sample after the other: what belongs to one stays in the cache
                each = [
                    log_p[row].sub(scores.float().log_softmax(0)).mul_(p[row]).sum(0).clamp_(min=0).double().mean()
                    for row, scores in enumerate(one)
                ]
                heads.append(torch.stack(each).cpu())
            else:
                heads.append(super().divergence([one], other).cpu())
        return torch.stack(heads).mean(0)

    def statistics(self, answers: "Segmented", targets: torch.Tensor) -> torch.Tensor:
        """See `Task.statistics`: pixels in the intersection and in the union, class by class, `(N, 2 classes)`."""
        said = answers.of_size(targets)
        targets = targets.to(said.device)
        classes = answers.scores.shape[1]
        rows = []
        for given, wanted in zip(said, targets, strict=True):
            judged = (wanted >= 0) & (wanted < classes)
            pairs = torch.bincount(wanted[judged] * classes + given[judged], minlength=classes**2)
            confusion = pairs.view(classes, classes).double()
            inside = confusion.diagonal()
            rows.append(torch.cat([inside, confusion.sum(0) + confusion.sum(1) - inside]))
        return torch.stack(rows)

    def accuracy(self, means: Statistics) -> float:
        """See `Task.accuracy`."""
        inside, union = np.split(means, 2)
        there = union > 0
        return 100 * float((inside[there] / union[there]).mean()) if there.any() else 0.0

    def details(self, statistics: Statistics) -> Mapping[str, float]:
        """See `Task.details`: the share of pixels that are right, as far as masks judge them."""
        inside, union = np.split(statistics.sum(0), 2)
        # a pixel is in the union of its own class, and in one more where the answer is another
        right = inside.sum()
        pixels = (union.sum() + right) / 2
        return {"pixel accuracy": 100 * float(right / pixels)} if pixels else {}

    def same(self, answers: "Segmented", reference: "Segmented") -> torch.Tensor:
        """See `Task.same`: the share of pixels with the same class."""
        return (answers.classes == reference.classes).flatten(1).count_nonzero(1).double() / answers.classes[0].numel()

    def shown(self, answers: "Segmented", sample: int) -> dict[str, Any]:
        """See `Task.shown`."""
        return {"mask": answers.classes[sample].to(torch.uint8).cpu().numpy()}

    def shown_target(self, targets: torch.Tensor, sample: int) -> dict[str, Any]:
        """See `Task.shown_target`."""
        return {"mask": targets[sample].to(torch.uint8).cpu().numpy()}

    def drawn(self, raw: Any, numbers: Sequence[int], draws: int) -> list[torch.Tensor]:
        """See `Task.drawn`: a class for every pixel of every head."""
        maps = [output for output in self.outputs(raw) if _is_map(output)]
        totals = [torch.zeros((), device=maps[0].device) for _ in range(draws)]
        for place, scores in enumerate(maps):
            log_p = scores.float().log_softmax(1)
            share = (log_p[0, 0].numel() * len(maps)) ** -0.5
            for row, number in enumerate(numbers):
                pixels = log_p[row].flatten(1).T  # (pixels, classes)
                generator = torch.Generator().manual_seed(1000 * number + place)
                chosen = torch.multinomial(pixels.detach().exp().cpu(), draws, replacement=True, generator=generator)
                for draw in range(draws):
                    chances = pixels.gather(1, chosen[:, draw : draw + 1].to(pixels.device))
                    totals[draw] = totals[draw] + share * chances.sum()
        return totals

    def loss(
        self, model: nn.Module, inputs: Inputs, targets: Any, teacher: nn.Module | None, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        """See `Task.loss`: cross entropy of the pixels, with that of an auxiliary head at half weight."""
        raw = self.call(model, inputs)
        main = self.scores(raw)
        heads = [(1.0, main)]
        if isinstance(raw, Mapping) and _is_map(raw.get("aux")) and raw["aux"] is not main:
            heads.append((AUXILIARY, raw["aux"]))
        if teacher is not None:
            with torch.no_grad():
                targets = self.scores(self.call(teacher, inputs)).float().softmax(1)
        total = main.new_zeros((), dtype=torch.float32)
        for weight, scores in heads:
            scores = _of_size(scores, targets).float()
            total = total + weight * functional.cross_entropy(
                scores, targets, ignore_index=IGNORED if teacher is None else -100, label_smoothing=label_smoothing
            )
        return total * len(main)

    def chance(self) -> float:
        """See `Task.chance`."""
        return (1 + AUXILIARY) * float(np.log(max(self.classes, 1)))


@dataclass(frozen=True, eq=False)
class Segmented:
    """What a segmenter answered.

    Attributes:
        scores: `(N, classes, H, W)`.
    """

    scores: torch.Tensor

    @cached_property
    def classes(self) -> torch.Tensor:
        """The class of every pixel, `(N, H, W)`, in the size of the scores."""
        return torch.stack([scores.argmax(0) for scores in self.scores])

    def of_size(self, targets: torch.Tensor) -> torch.Tensor:
        """The same in the size of masks."""
        if self.scores.shape[-2:] == targets.shape[-2:]:
            return self.classes
        return _of_size(self.scores, targets).argmax(1)


def _with_probabilities(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    log_p = scores.float().log_softmax(1)
    return log_p, log_p.exp()


def _is_map(tensor: Any) -> bool:
    return isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and tensor.ndim == 4 and tensor.shape[1] >= 2


def _of_size(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Scores enlarged to the masks' size, where a network answers in a smaller one."""
    if scores.shape[-2:] == targets.shape[-2:]:
        return scores
    return functional.interpolate(scores, targets.shape[-2:], mode="bilinear", align_corners=False)
