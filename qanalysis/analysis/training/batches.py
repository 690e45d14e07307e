"""Training batches: the samples of every step, in an order that follows from seed and epoch alone."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from qanalysis.analysis.training.processes import ALONE, Processes
from qanalysis.data.augment import augment
from qanalysis.data.split import Batch, Split
from qanalysis.nn.structure import Inputs, count, joined, on, part
from qanalysis.schema.errors import UserError
from qanalysis.schema.results.qat import QatRecipe
from qanalysis.tasks.task import Task

#: Crops are of the image padded by this share of its side: 4 pixels at 32.
_PADDING = 1 / 8


@dataclass(frozen=True, eq=False)
class Batches:
    """What is trained on.

    Attributes:
        split: the training samples.
        recipe: says how many, and how many a step takes.
        augmented: whether they are flipped and cropped.
        seed: of order and augmentation.
        task: says what targets are like.
        device: where tensors go.
        processes: this process among those that share every batch.
        labelled: whether targets are learned; they need not be there if not.
    """

    split: Split
    recipe: QatRecipe
    augmented: bool
    seed: int
    task: Task
    device: torch.device
    processes: Processes = ALONE
    labelled: bool = True

    def of_step(self, step: int) -> tuple[Inputs, Any, int]:
        """Inputs and targets of a step (from 0), this process's part of them, and how many all processes have.

        Raises:
            UserError: if the samples have no targets, or targets that the network does not know.
        """
        epoch, position = divmod(step, self.recipe.steps_per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(self.recipe.samples)
        size = self.recipe.batch_size
        chosen = self.split.reordered(order[position * size : (position + 1) * size])
        inputs, targets = _whole(list(chosen.batches(size)))
        if not self.labelled:
            targets = None
        elif targets is None:
            raise UserError(
                "training needs labels, but the training samples have none: use data with labels, or learn the fp32 "
                "model's answers (teacher)."
            )
        else:
            self.task.check_targets(targets)
        if self.augmented:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
            inputs = augment(inputs, generator, round(inputs.shape[-1] * _PADDING))
        total = count(inputs)
        share = self.processes.share(total)
        return on(part(inputs, share), self.device), on(part(targets, share), self.device), total

    @contextmanager
    def from_step(self, first: int) -> Iterator[Iterator[tuple[Inputs, Any, int]]]:
        """The batches of all steps from this one on, each made ready while the one before it is used."""
        with ThreadPoolExecutor(1) as pool:

            def ready() -> Iterator[tuple[Inputs, Any, int]]:
                coming = pool.submit(self.of_step, first)
                for step in range(first + 1, self.recipe.steps):
                    batch, coming = coming, pool.submit(self.of_step, step)
                    yield batch.result()
                yield coming.result()

            yield ready()


def _whole(batches: list[Batch]) -> Batch:
    """One batch of several, as samples of different sizes come in several."""
    if len(batches) == 1:
        return batches[0]
    targets = [targets for _, targets in batches]
    return joined(inputs for inputs, _ in batches), None if targets[0] is None else joined(targets)
