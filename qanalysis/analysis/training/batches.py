"""Training batches: the samples of every step, in an order that follows from seed and epoch alone."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from qanalysis.analysis.training.processes import ALONE, Processes
from qanalysis.data.augment import augment
from qanalysis.data.split import Split
from qanalysis.schema.errors import UserError
from qanalysis.schema.results.qat import QatRecipe

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
        classes: number of classes that the network tells apart.
        device: where tensors go.
        processes: this process among those that share every batch.
        labelled: whether labels are learned; they need not be there if not.
    """

    split: Split
    recipe: QatRecipe
    augmented: bool
    seed: int
    classes: int
    device: torch.device
    processes: Processes = ALONE
    labelled: bool = True

    def of_step(self, step: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Inputs and labels of a step (from 0), this process's part of them, and how many all processes have.

        Raises:
            UserError: if the samples have no labels, or labels that the network does not know.
        """
        epoch, position = divmod(step, self.recipe.steps_per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(self.recipe.samples)
        size = self.recipe.batch_size
        chosen = self.split.reordered(order[position * size : (position + 1) * size])
        inputs, labels = next(iter(chosen.batches(size)))
        if not self.labelled:
            labels = torch.zeros(len(inputs), dtype=torch.int64)
        if labels is None:
            raise UserError(
                "training needs labels, but the training samples have none: use data with labels, or learn the fp32 "
                "model's answers (teacher)."
            )
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= self.classes:
            raise UserError(
                f"labels must be class numbers from 0 to {self.classes - 1}, which is what the model tells apart, "
                f"but the training samples have {low if low < 0 else high}."
            )
        if self.augmented:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
            inputs = augment(inputs, generator, round(inputs.shape[-1] * _PADDING))
        share = self.processes.share(len(inputs))
        return (
            inputs[share].to(self.device, non_blocking=True),
            labels[share].to(self.device, non_blocking=True),
            len(inputs),
        )

    @contextmanager
    def from_step(self, first: int) -> Iterator[Iterator[tuple[torch.Tensor, torch.Tensor, int]]]:
        """The batches of all steps from this one on, each made ready while the one before it is used."""
        with ThreadPoolExecutor(1) as pool:

            def ready() -> Iterator[tuple[torch.Tensor, torch.Tensor, int]]:
                coming = pool.submit(self.of_step, first)
                for step in range(first + 1, self.recipe.steps):
                    batch, coming = coming, pool.submit(self.of_step, step)
                    yield batch.result()
                yield coming.result()

            yield ready()
