"""Task: a model, data for it, and the device to run on; the first thing every analysis makes of its parameters."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from qanalysis import data, models
from qanalysis.data.loaded import LoadedData
from qanalysis.data.split import Split
from qanalysis.models.loaded import LoadedModel
from qanalysis.models.prepared import in_channels_last
from qanalysis.nn.observe import coverage
from qanalysis.nn.scores import class_scores, give_scores, heads
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.task import TaskParams
from qanalysis.schema.results.common import DataCard, Environment, Metric, ModelCard
from qanalysis.schema.site import Coverage


@dataclass(frozen=True, eq=False)
class Task:
    """A model and data, ready to run.

    Attributes:
        model: the model and where it comes from; its module is on `device`.
        data: the data.
        device: where tensors go.
        batch_size: samples per forward pass.
        coverage: the model's sites on this data.
        classes: number of classes that the model tells apart.
        notes: what a reader must know about its outputs.
    """

    model: LoadedModel
    data: LoadedData
    device: torch.device
    batch_size: int
    coverage: Coverage
    classes: int = 0
    notes: tuple[str, ...] = ()

    @property
    def metric(self) -> Metric:
        """Accuracy, or agreement with the fp32 model where there are no labels."""
        return "accuracy" if self.data.labelled else "agreement"

    def batches(self, split: Split, limit: int | None = None) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        """Inputs on the device, and labels on the CPU.

        Raises:
            UserError: if a label is none of the model's classes.
        """
        for inputs, labels in split.batches(self.batch_size, limit):
            if labels is not None and self.classes and not 0 <= int(labels.min()) <= int(labels.max()) < self.classes:
                wrong = int(labels.min()) if int(labels.min()) < 0 else int(labels.max())
                raise UserError(
                    f"{self.data.name} has the label {wrong}, but {self.model.name} has {self.classes} classes, "
                    f"0 to {self.classes - 1}: use data of these classes, or a model for that many."
                )
            yield inputs.to(self.device, non_blocking=True), labels

    def inputs(self, split: Split, limit: int | None = None) -> Iterator[torch.Tensor]:
        """Inputs on the device."""
        return (inputs for inputs, _ in self.batches(split, limit))

    def example(self) -> torch.Tensor:
        """One input from the calibration data, as a batch."""
        return next(self.inputs(self.data.calibration, 1))

    def environment(self) -> Environment:
        """Versions and machine, for the result."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"
        return Environment.here(name, torch.get_num_threads())

    def cards(self, *notes: str) -> dict[str, Any]:
        """What every result says about environment, model and data, with these notes among its warnings."""
        module, loaded = self.model.module, self.data
        return {
            "environment": self.environment(),
            "model": ModelCard(
                name=self.model.name,
                origin=self.model.origin,
                trained=self.model.trained,
                architecture=self.model.architecture,
                parameters=sum(parameter.numel() for parameter in module.parameters()),
            ),
            "data": DataCard(
                name=loaded.name,
                origin=loaded.origin,
                labelled=loaded.labelled,
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


def load(params: TaskParams) -> Task:
    """Loads model and data and runs one sample through, which finds the sites.

    Raises:
        UserError: with one sentence: unknown names, no data, or a model that fails on the data's shape.
    """
    device = device_named(params.device)
    loaded_model = models.load(params.model)
    loaded_data = data.load(params.data, loaded_model, params.seed)
    in_channels_last(loaded_model.module.to(device))
    example, _ = next(loaded_data.calibration.batches(1, 1))
    found, classes, notes = _coverage(loaded_model, loaded_data, example.to(device))
    if loaded_model.trained_quantization is not None:
        loaded_model.trained_quantization.check([site.name for site in found.sites], loaded_model.name)
    return Task(loaded_model, loaded_data, device, params.batch_size, found, classes, notes)


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


logits = class_scores


def _coverage(model: LoadedModel, data: LoadedData, example: torch.Tensor) -> tuple[Coverage, int, tuple[str, ...]]:
    """Sites, number of classes, and what to tell about outputs, from one sample run through the model."""
    module, shape = model.module, tuple(example.shape)
    names = len(data.classes) or data.labels
    try:
        found = coverage(module, example)
        with torch.no_grad():
            output = module(example)
        scores = class_scores(output, names)
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, AssertionError) as error:
        reason = (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__
        raise UserError(f"{model.name} fails on inputs of shape {shape}: {reason[:200]}.") from error
    if not found.sites:
        raise UserError(f"{model.name} has no layer that can be quantized: {_without_sites(module, found)}.")
    classes = scores.shape[1]
    if data.labelled and names is not None and names > classes:
        raise UserError(
            f"{data.name} has {names} classes, but {model.name} has {classes} classes: use data of these classes, or a "
            "model for that many."
        )
    notes: tuple[str, ...] = ()
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        give_scores(module, classes)
        if heads(output) > 1:
            notes = (
                f"The model returns {heads(output)} tensors that could be class scores; one of shape "
                f"{tuple(scores.shape)} is measured, and what only feeds the others is not.",
            )
    return found, classes, notes


def _without_sites(module: nn.Module, found: Coverage) -> str:
    if isinstance(module, torch.fx.GraphModule):
        return "it is an exported program of operators; give the module that it was made from"
    if found.not_covered:
        first = found.not_covered[0]
        return f"{first.operation} in {first.module} is not covered, {first.reason}"
    return "it has no convolution, linear layer or matrix product"
