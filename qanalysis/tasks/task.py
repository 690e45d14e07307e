"""Task: what a network is for: how it is called, what it answers, how good that is, and what it learns from.

What a user's own metric needs is a subclass with `statistics`; everything else has a default:

    class WithinTenPercent(Task):
        words = Words(metric="within 10 %", samples="houses", sample="house")

        def statistics(self, answers, targets):
            return ((answers[0][:, 0] - targets).abs() <= 0.1 * targets.abs()).double()
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from qanalysis.data.split import together
from qanalysis.models.processor import Processor
from qanalysis.nn.structure import Inputs, call_model, float_tensors, shapes
from qanalysis.schema.errors import UserError
from qanalysis.schema.tasks import Words
from qanalysis.tasks.cut import Cut, by_leaf, uncut

#: Values of one output up to which it is compared in float64 on the CPU; larger ones stay in float32 where they are.
_EXACT = 2**20
#: Numbers of an output that are shown.
_SHOWN = 8

Statistics = NDArray[np.float64]


class Task:
    """What a network is for; `fidelity` is what is left when nothing is overridden.

    Attributes:
        name: as `--task` takes it.
        words: what its numbers are called.
        smooth: whether `accuracy` is a smooth function of means over samples, so that its intervals follow from the
            statistics (delta method); else `accuracy_of` is asked, and intervals are made by leaving samples out.
        learns: whether `loss` learns from targets; else from the fp32 model's outputs.
        graded: whether statistics are degrees, so that ones and zeros among them are no counts of right and wrong.
        augmentable: whether samples that are images may be mirrored and shifted in training, targets as they are.
        processor: the model's, from texts or sounds to its inputs and back; None where it has none.
    """

    name = "task"
    words = Words(metric="fidelity")
    smooth = True
    learns = False
    graded = False
    augmentable = False
    processor: Processor | None = None

    # how a network is called

    def collate(self, samples: Sequence[tuple[Any, Any]]) -> tuple[Inputs, Any]:
        """Samples `(input, target)` as one batch of inputs and targets; targets are None where there are none.

        Raises:
            UserError: if they have different shapes.
        """
        return together(samples)

    def call(self, model: Callable[..., Any], inputs: Inputs) -> Any:
        """What the model returns for inputs."""
        return call_model(model, inputs)

    def visit(self, model: Any, inputs: Inputs) -> None:
        """Executes every site as `call` does, where nobody looks at the outputs: in calibration."""
        self.call(model, inputs)

    def measured(self, model: Callable[..., Any], inputs: Inputs) -> Any:
        """As `call`, where outputs are compared: with whatever else the comparison looks at."""
        return self.call(model, inputs)

    def cut(self, model: nn.Module, example: Inputs) -> Cut:
        """What of the network goes into a file; everything by default.

        Args:
            model: the network.
            example: inputs of one batch, whose structure all have.
        """
        return uncut(self.call, example, by_leaf)

    # what it answers

    def outputs(self, raw: Any) -> tuple[torch.Tensor, ...]:
        """What is compared with fp32's: every tensor of real numbers that the model returned, samples first."""
        return float_tensors(raw)

    def answers(self, raw: Any) -> Any:
        """What `statistics` judges; `outputs` by default."""
        return self.outputs(raw)

    def as_targets(self, answers: Any) -> Any:
        """What stands in for targets that are not there: fp32's answers, in the form of targets."""
        return answers[0] if isinstance(answers, tuple) and len(answers) == 1 else answers

    # how good it is

    def prepare(self, model: nn.Module) -> None:
        """Reads off the model what the task has to know of it; called once, before anything else."""

    def check(self, raw: Any, targets: Any, samples: int) -> None:
        """Refuses outputs or targets that are not of this task; called once, with the first sample.

        Raises:
            UserError: with the shapes, and what would fit.
        """
        if not self.outputs(raw):
            raise UserError(f"the task {self.name} needs outputs of real numbers, but the model returned {shapes(raw)}")
        for tensor in self.outputs(raw):
            if not tensor.ndim or len(tensor) != samples:
                raise UserError(
                    f"the task {self.name} needs outputs with samples in the first axis, but of {samples} "
                    f"sample{'s' * (samples != 1)} the model returned {shapes(raw)}"
                )

    def check_targets(self, targets: Any) -> None:
        """Refuses targets that cannot be measured against; called with every batch that has some.

        Raises:
            UserError: naming what is wrong.
        """

    def prepared(self, outputs: Any) -> Any:
        """fp32's outputs as `divergence` takes them, with whatever of them many comparisons would compute again."""
        return outputs

    def divergence(self, outputs: Any, reference: Any) -> torch.Tensor:
        """How far outputs are from fp32's, `(N,)`: ‖Δ‖² / ‖fp32‖², the mean over all outputs; every head counts.

        Args:
            outputs: of the quantized model.
            reference: what `prepared` makes of fp32's; as it is, the outputs.
        """
        return mean_nmse(outputs, reference)

    def statistics(self, answers: Any, targets: Any) -> Any:
        """What accuracy is made of, for every sample: `(N,)` or `(N, S)`."""
        return 1 - mean_nmse(_tuple(answers), _tuple(targets)).clamp(max=1)

    def accuracy(self, means: Statistics) -> float:
        """Accuracy in % from the statistics' means over samples `(S,)`."""
        return 100 * float(means[0])

    def accuracy_of(self, statistics: Statistics) -> float:
        """Accuracy in % from the statistics of all samples `(N, S)`."""
        return self.accuracy(statistics.mean(0))

    def accuracies_without(self, statistics: Statistics, groups: NDArray[np.int64], count: int) -> NDArray[np.float64]:
        """Accuracy in % without each of the groups of samples: `(count,)`; for tasks that are not smooth.

        Args:
            statistics: of all samples.
            groups: number of the group of every sample.
            count: number of groups.
        """
        return np.array([self.accuracy_of(statistics[groups != group]) for group in range(count)])

    def details(self, statistics: Statistics) -> Mapping[str, float]:
        """Further figures in %, by name, that people ask for beside the accuracy."""
        return {}

    def same(self, answers: Any, reference: Any) -> torch.Tensor:
        """How much of every answer is fp32's, `(N,)` from 0 to 1."""
        return 1 - mean_nmse(_tuple(answers), _tuple(reference)).clamp(max=1)

    def drawn(self, raw: Any, numbers: Sequence[int], draws: int) -> list[torch.Tensor]:
        """Log-likelihoods of answers drawn from the model's own, summed over samples; one a draw, with gradients.

        By default answers are normal around the outputs, so wide that the divergence is the normalised squared error.

        Args:
            raw: what the model returned.
            numbers: of the samples: the same sample draws the same, whatever batch it is in.
            draws: how many.
        """
        outputs = self.outputs(raw)
        totals = [torch.zeros(()) for _ in range(draws)]
        for place, output in enumerate(outputs):
            flat = output.float().flatten(1)
            width = flat.detach().square().sum(1, keepdim=True).clamp(min=1e-30).sqrt()
            for draw in range(draws):
                noise = torch.stack(
                    [
                        torch.randn(
                            flat.shape[1], generator=torch.Generator().manual_seed(1000 * n + 10 * place + draw)
                        )
                        for n in numbers
                    ]
                ).to(flat.device)
                share = (2 / len(outputs)) ** 0.5 * (noise * flat / width).sum()
                totals[draw] = totals[draw].to(share.device) + share
        return totals

    def shown(self, answers: Any, sample: int) -> dict[str, Any]:
        """What was said about one sample of a batch, for people: `values`, `mask`, `boxes` or `text`.

        Args:
            answers: to the batch.
            sample: its number in the batch.
        """
        return {"values": [float(value) for value in _tuple(answers)[0][sample].detach().flatten()[:_SHOWN]]}

    def shown_target(self, targets: Any, sample: int) -> dict[str, Any]:
        """The same of the targets."""
        values = torch.as_tensor(targets if not isinstance(targets, tuple) else targets[0])[sample]
        return {"values": [float(value) for value in values.flatten()[:_SHOWN]]}

    # what it learns from

    def loss(
        self, model: nn.Module, inputs: Inputs, targets: Any, teacher: nn.Module | None, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        """What training makes smaller, summed over samples: by default ‖Δ‖² / ‖teacher‖² of the outputs.

        Args:
            model: in training mode.
            inputs: of a batch.
            targets: of the same samples; None where a teacher is learned from.
            teacher: the network to learn the outputs of.
            label_smoothing: for losses that know it.
        """
        if teacher is None:
            raise UserError(f"the task {self.name} learns from the fp32 model's outputs: give a teacher")
        with torch.no_grad():
            wanted = self.outputs(self.call(teacher, inputs))
        return mean_nmse(self.outputs(self.call(model, inputs)), wanted).sum()

    def validation_loss(self, batches: Iterable[tuple[Any, Any]]) -> float | None:
        """Mean loss of samples from answers and targets, batch by batch; None where it cannot be told from these."""
        return None

    def chance(self) -> float:
        """Loss of a network that knows nothing; a run whose loss rises above it has diverged."""
        return 0.0


def mean_nmse(outputs: Sequence[torch.Tensor], reference: Sequence[torch.Tensor]) -> torch.Tensor:
    """‖Δ‖² / ‖reference‖² of every sample, `(N,)`, the mean over outputs; an output that is zero in both counts 0.

    Raises:
        UserError: if outputs are not as many, or of other shapes.
    """
    ratios = []
    for one, other in alike(outputs, reference):
        noise, signal = squared_change(one, other), precise(other).square().sum(1)
        ratios.append(noise / signal.clamp(min=torch.finfo(signal.dtype).tiny).where(noise > 0, torch.ones_like(noise)))
    return torch.stack(ratios).mean(0)


def alike(
    outputs: Sequence[torch.Tensor], reference: Sequence[torch.Tensor]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Outputs beside fp32's.

    Raises:
        UserError: if they are not as many, or of other shapes.
    """
    if [tuple(one.shape) for one in outputs] != [tuple(other.shape) for other in reference]:
        raise UserError(
            f"outputs must have the shapes of fp32's, but are {shapes(tuple(outputs))} and {shapes(tuple(reference))}"
        )
    return list(zip(outputs, reference, strict=True))


def squared_change(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """‖Δ‖² of every sample, `(N,)`; of large outputs one sample after the other, so that it stays in the cache."""
    if one.requires_grad or other.requires_grad or one.numel() <= _EXACT:
        return (precise(one) - precise(other)).square().sum(1)
    return torch.stack([(row - wanted).square_().sum() for row, wanted in zip(one.float(), other.float(), strict=True)])


def precise(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor as `(N, …)` in float64 on the CPU; in float32 where it is if it is large."""
    flat = tensor.reshape(len(tensor), -1)
    if flat.requires_grad:
        return flat.float()
    return flat.cpu().double() if flat.numel() <= _EXACT else flat.float()


def _tuple(answers: Any) -> tuple[torch.Tensor, ...]:
    return (answers,) if isinstance(answers, torch.Tensor) else tuple(answers)
