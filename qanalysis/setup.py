"""Setup: a model, data for it, its task and the device to run on; what every analysis makes of its parameters first."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from qanalysis import data, models, tasks
from qanalysis.data.loaded import LoadedData
from qanalysis.data.split import Batch, Split
from qanalysis.models.loaded import LoadedModel
from qanalysis.models.prepared import in_channels_last
from qanalysis.nn.clip import met
from qanalysis.nn.observe import coverage
from qanalysis.nn.scores import heads
from qanalysis.nn.structure import Inputs, call_model, leaves, on, shapes
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.task import TaskParams
from qanalysis.schema.results.common import DataCard, Environment, ModelCard
from qanalysis.schema.site import Coverage
from qanalysis.schema.tasks import Words
from qanalysis.tasks.task import Task

#: What a model's code raises on inputs that it was not made for.
_FAILURES = (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, AssertionError)


@dataclass(frozen=True, eq=False)
class Setup:
    """A model and data, ready to run.

    Attributes:
        model: the model and where it comes from; its module is on `device`.
        data: the data.
        task: what the model is for.
        device: where tensors go.
        batch_size: samples per forward pass.
        coverage: the model's sites on this data.
        notes: what a reader must know about its outputs.
        pictures: whether samples are images.
        activations: which of GELU and Swish the model has.
    """

    model: LoadedModel
    data: LoadedData
    task: Task
    device: torch.device
    batch_size: int
    coverage: Coverage
    notes: tuple[str, ...] = ()
    pictures: bool = True
    activations: tuple[str, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether accuracy is measured by targets; else by the fp32 model's own answers."""
        return self.data.labelled and self.task.name != "fidelity"

    @property
    def metric(self) -> str:
        """What the accuracy is called."""
        return self.words.said(self.labelled)

    @property
    def words(self) -> Words:
        """The task's words; images are spoken of only where there are images."""
        words = self.task.words
        if words.samples == "images" and not self.pictures:
            return words.model_copy(update={"samples": "samples", "sample": "sample"})
        return words

    def batches(self, split: Split, limit: int | None = None) -> Iterator[Batch]:
        """Inputs on the device, and targets on the CPU.

        Raises:
            UserError: if targets are not those of the task.
        """
        for inputs, targets in split.batches(self.batch_size, limit):
            if targets is not None and self.labelled:
                self.task.check_targets(targets)
            yield on(inputs, self.device), targets

    def inputs(self, split: Split, limit: int | None = None) -> Iterator[Inputs]:
        """Inputs on the device."""
        return (inputs for inputs, _ in self.batches(split, limit))

    def example(self) -> Inputs:
        """One input from the calibration data, as a batch."""
        return next(self.inputs(self.data.calibration, 1))

    def environment(self) -> Environment:
        """Versions and machine, for the result."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"
        return Environment.here(name, torch.get_num_threads())

    def cards(self, *notes: str) -> dict[str, Any]:
        """What every result says about environment, model, data and task, with these notes among its warnings."""
        module, loaded = self.model.module, self.data
        return {
            "environment": self.environment(),
            "task": self.task.name,
            "words": self.words,
            "model": ModelCard(
                name=self.model.name,
                origin=self.model.origin,
                trained=self.model.trained,
                architecture=self.model.architecture,
                parameters=sum(parameter.numel() for parameter in module.parameters()),
                activations=self.activations,
            ),
            "data": DataCard(
                name=loaded.name,
                origin=loaded.origin,
                labelled=self.labelled,
                calibration=len(loaded.calibration),
                evaluation=len(loaded.evaluation),
                classes=loaded.classes,
                warnings=tuple(
                    dict.fromkeys((*loaded.warnings, *loaded.calibration.skipped, *loaded.evaluation.skipped))
                ),
            ),
            "warnings": (*self.warnings(), *notes),
        }

    def warnings(self) -> tuple[str, ...]:
        """What a reader of the result must know first."""
        notes = [*self.model.notes, *self.notes]
        if not self.model.trained:
            notes.append("The model has random weights: accuracies say nothing about a trained network.")
        if self.coverage.not_covered:
            first = self.coverage.not_covered[0]
            more = len(self.coverage.not_covered) - 1
            others = f" and {more} more" if more else ""
            notes.append(f"Not covered: {first.operation} in {first.module}{others} ({first.reason}).")
        return tuple(notes)


def load(params: TaskParams) -> Setup:
    """Loads model and data, chooses the task, and runs one sample through, which finds the sites.

    Raises:
        UserError: with one sentence: unknown names, no data, a model that fails on the data's shape, or a task that
            does not fit its outputs or targets.
    """
    device = device_named(params.device)
    model = models.load(params.model)
    loaded = data.load(params.data, model, params.seed)
    in_channels_last(model.module.to(device))
    example = on(next(loaded.calibration.batches(1, 1))[0], device)
    raw = _tried(model, example)
    _, targets = next(loaded.evaluation.batches(1, 1)) if loaded.labelled else (None, None)
    task = tasks.chosen(params.task, model, loaded, raw, targets)
    task.processor = model.processor
    loaded = loaded.collated(task.collate)
    example = on(next(loaded.calibration.batches(1, 1))[0], device)
    found = _coverage(model, task, example, raw)
    with met(model.module) as activations:
        notes = _checked(model, loaded, task, example)
    if model.trained_quantization is not None:
        model.trained_quantization.check([site.name for site in found.sites], model.name)
    return Setup(
        model, loaded, task, device, params.batch_size, found, notes, _are_pictures(example), tuple(sorted(activations))
    )


def device_named(name: str) -> torch.device:
    """The device of a name; `auto` is the GPU where there is one.

    Raises:
        UserError: if the name is unknown or this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, ValueError):
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UserError(f"Unknown device {name[:80]!r}; choose from auto, cpu, cuda, cuda:N.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"This machine has {torch.cuda.device_count()} CUDA devices; {name!r} is not one of them.")
    return device


@torch.no_grad()
def _tried(model: LoadedModel, example: Inputs) -> Any:
    """What the model returns, called as its inputs look; None where a task of the user's may call it otherwise."""
    stacked = isinstance(example, list) and all(isinstance(one, torch.Tensor) for one in example)
    for inputs in (example, torch.stack(example)) if stacked else (example,):
        with suppress(*_FAILURES):
            return call_model(model.module, inputs)
    return None


def _coverage(model: LoadedModel, task: Task, example: Inputs, raw: Any) -> Coverage:
    """Sites, from one sample run through the model."""
    try:
        task.prepare(model.module)
        found = coverage(model.module, example, task.call)
    except _FAILURES as error:
        if raw is not None:  # run plainly it works
            raise UserError(
                f"{model.name} cannot be run as the task {task.name} does it; it returns {tasks.told(raw)}."
            ) from error
        raise UserError(_failed(model, example, error)) from error
    if not found.sites:
        raise UserError(f"{model.name} has no layer that can be quantized: {_without_sites(model.module, found)}.")
    return found


@torch.no_grad()
def _checked(model: LoadedModel, loaded: LoadedData, task: Task, example: Inputs) -> tuple[str, ...]:
    """Whether the task fits the outputs and the targets; what to tell about outputs."""
    try:
        raw = task.measured(model.module, example)
    except _FAILURES as error:
        raise UserError(_failed(model, example, error)) from error
    _, targets = next(loaded.evaluation.batches(1, 1)) if loaded.labelled else (None, None)
    try:
        task.check(raw, targets, 1)
    except UserError as error:
        if " has " in str(error):  # of classes, with names and remedy
            raise
        fits = tasks.fitting(raw)
        remedy = f"; --task {' or '.join(fits)} would fit" if task.name not in fits else ""
        raise UserError(f"{model.name}: {error}{remedy}.") from None
    if task.name == "classification" and heads(raw) > 1:
        scores = task.answers(raw)
        return (
            f"The model returns {heads(raw)} tensors that could be class scores; accuracy is that of one of shape "
            f"{tuple(scores.shape)}, and all of them count in the divergence.",
        )
    return ()


def _are_pictures(example: Inputs) -> bool:
    """Whether a sample looks like an image: one tensor of one, three or four channels, with height and width."""
    found = [tensor for _, tensor in leaves(example)]
    images = len(found) == 1 and found[0].is_floating_point() and found[0].ndim in (3, 4)
    return images and found[0].shape[-3] in (1, 3, 4)


def _failed(model: LoadedModel, example: Inputs, error: Exception) -> str:
    found = leaves(example)
    reason = (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__
    inputs = f"shape {tuple(found[0][1].shape)}" if len(found) == 1 else f"shapes {shapes(example)}"
    return f"{model.name} fails on inputs of {inputs}: {reason[:200]}."


def _without_sites(module: nn.Module, found: Coverage) -> str:
    if isinstance(module, torch.fx.GraphModule):
        return "it is an exported program of operators; give the module that it was made from"
    if found.not_covered:
        first = found.not_covered[0]
        return f"{first.operation} in {first.module} is not covered, {first.reason}"
    return "it has no convolution, linear layer or matrix product"
