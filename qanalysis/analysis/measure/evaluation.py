"""Evaluation: models against the fp32 one, batch by batch; the one loop in which accuracy is measured.

Within a batch the fp32 model is run once and every other model after it; what is left of their outputs are a few
numbers a sample. So memory does not depend on the size of the outputs, and a batch is what a killed run is resumed at.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import nn

from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.comparison import Answered, Comparison, answered, compare
from qanalysis.analysis.measure.progress import Report, counted, silent
from qanalysis.analysis.measure.recall import recall
from qanalysis.analysis.measure.score import score
from qanalysis.data.split import Split
from qanalysis.nn.structure import Inputs, count
from qanalysis.schema.errors import UserError
from qanalysis.schema.results.common import Score
from qanalysis.setup import Setup
from qanalysis.tasks.task import Statistics, Task

#: What is run: a network, or a function from inputs to what `Task.measured` gives.
Model = nn.Module | Callable[[Inputs], Any]
#: Memory for fp32's outputs, so that they need not be computed again.
_MEMORY = 2**28
#: Seconds of work that a kill may cost.
_KEEP_EVERY = 1.0


class EvaluationBatch:
    """One batch of the samples to evaluate on.

    Attributes:
        index: its number.
        inputs: on the device.
        targets: on the CPU; None without.
    """

    def __init__(self, of: "Answering", index: int, inputs: Inputs, targets: Any) -> None:
        self._of = of
        self.index = index
        self.inputs = inputs
        self.targets = targets

    def __len__(self) -> int:
        return count(self.inputs)

    @cached_property
    def reference(self) -> Answered:
        """What the model that others are compared with answers to it."""
        return self._of.answered(self)


class Answering:
    """A model that others are compared with, and what it answers; outputs are kept as far as memory lasts.

    Args:
        setup: model, data and task.
        model: most often the one in floating point.
        samples: how many of the split, at the most.
        split: the samples; those for evaluation if not given.
        memory_bytes: for outputs that are kept.
        judge: whose answers stand in for targets that are not there; its own if not given.
    """

    def __init__(
        self,
        setup: Setup,
        model: Model,
        samples: int,
        split: Split | None = None,
        memory_bytes: int = _MEMORY,
        judge: "Answering | None" = None,
    ) -> None:
        self.setup = setup
        self.model = model
        self._judge = judge
        self._split = setup.data.evaluation if split is None else split
        self.samples = min(samples, len(self._split))
        self._memory = memory_bytes
        self._kept: dict[int, Answered] = {}

    def batches(self, report: Report = silent, stage: str = "") -> Iterator[EvaluationBatch]:
        """The samples, with progress reported under the name of the stage."""
        setup = self.setup
        empty = True
        pairs = counted(setup.batches(self._split, self.samples), report, stage, self.samples)
        for index, (inputs, targets) in enumerate(pairs):
            empty = False
            yield EvaluationBatch(self, index, inputs, targets if setup.labelled else None)
        if empty:
            raise UserError(f"{setup.data.name} has no readable sample to evaluate on.")

    def answered(self, batch: EvaluationBatch) -> Answered:
        """What the model answers to a batch."""
        known = self._kept.get(batch.index)
        if known is None:
            targets = batch.targets
            if targets is None and self._judge is not None:
                targets = self._judge.answered(batch).targets
            with torch.no_grad():
                known = answered(self.setup.task, measured(self.setup.task, self.model, batch.inputs), targets)
            if self._memory >= known.nbytes:
                self._memory -= known.nbytes
                self._kept[batch.index] = known
        return known

    def statistics(self, report: Report = silent, stage: str = "fp32") -> Statistics:
        """The task's statistics of all samples, `(N, S)`."""
        return np.concatenate([batch.reference.statistics for batch in self.batches(report, stage)])

    def score(self, report: Report = silent, stage: str = "fp32") -> Score:
        """Its accuracy."""
        return score(self.setup.task, self.statistics(report, stage))


@torch.no_grad()
def compared(
    reference: Answering,
    models: Mapping[str, Model],
    report: Report,
    stage: str,
    checkpoint: Checkpoint | None = None,
    so_far: Callable[[dict[str, Comparison]], None] | None = None,
) -> dict[str, Comparison]:
    """Every model against the reference on the same samples; what the checkpoint knows is not computed again.

    Args:
        reference: what they are compared with, and the samples.
        models: by name.
        report: told of progress.
        stage: what it is called.
        checkpoint: where measured batches are kept.
        so_far: told, now and then, what is known by then.

    Raises:
        UserError: if there is no sample, or the task does not fit.
        NotFiniteError: if outputs are not finite.
    """
    parts: dict[str, list[Comparison]] = {name: [] for name in models}
    told = time.monotonic()
    for batch in reference.batches(report, stage):
        measure = partial(_measure, reference, models, batch)
        recalled = recall(checkpoint or Checkpoint(None), f"{stage}-{batch.index:05d}", measure)
        for name, comparison in recalled.comparisons.items():
            parts[name].append(comparison)
        if so_far is not None and time.monotonic() - told > _KEEP_EVERY:
            so_far({name: Comparison.joined(some) for name, some in parts.items()})
            told = time.monotonic()
    return {name: Comparison.joined(some) for name, some in parts.items()}


def _measure(
    reference: Answering, models: Mapping[str, Model], batch: EvaluationBatch
) -> tuple[dict[str, Comparison], int]:
    task = reference.setup.task
    return {
        name: compare(task, measured(task, model, batch.inputs), batch.reference) for name, model in models.items()
    }, 0


def measured(task: Task, model: Model, inputs: Inputs) -> Any:
    """What a model returns for inputs, with whatever else is compared."""
    return task.measured(model, inputs) if isinstance(model, nn.Module) else model(inputs)
