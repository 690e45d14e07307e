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
from qanalysis.nn.observe import coverage
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
    """

    model: LoadedModel
    data: LoadedData
    device: torch.device
    batch_size: int
    coverage: Coverage

    @property
    def metric(self) -> Metric:
        """Accuracy, or agreement with the fp32 model where there are no labels."""
        return "accuracy" if self.data.labelled else "agreement"

    def batches(self, split: Split, limit: int | None = None) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        """Inputs on the device, and labels on the CPU."""
        for inputs, labels in split.batches(self.batch_size, limit):
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

    def cards(self) -> dict[str, Any]:
        """What every result says about environment, model and data."""
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
                warnings=(*loaded.warnings, *loaded.calibration.skipped, *loaded.evaluation.skipped),
            ),
            "warnings": self.warnings(),
        }

    def warnings(self) -> tuple[str, ...]:
        """What a reader of the result must know first."""
        notes = []
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
        ValueError: with one sentence: unknown names, no data, or a model that fails on the data's shape.
    """
    device = device_named(params.device)
    loaded_model = models.load(params.model)
    loaded_data = data.load(params.data, loaded_model, params.seed)
    module = loaded_model.module.to(device).to(memory_format=torch.channels_last)
    example, _ = next(loaded_data.calibration.batches(1, 1))
    found = _coverage(loaded_model, module, example.to(device))
    if loaded_model.trained_quantization is not None:
        loaded_model.trained_quantization.check([site.name for site in found.sites], loaded_model.name)
    return Task(loaded_model, loaded_data, device, params.batch_size, found)


def device_named(name: str) -> torch.device:
    """The device of a name; `auto` is the GPU where there is one.

    Raises:
        ValueError: if the name is unknown or this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"Unknown device {name!r}; choose from auto, cpu, cuda, cuda:N.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"This machine has {torch.cuda.device_count()} CUDA devices; {name!r} is not one of them.")
    return device


def logits(output: Any) -> torch.Tensor:
    """The `(N, classes)` logits in what a classifier returned: a tensor, its first part, or its field `logits`.

    Raises:
        ValueError: if there is none.
    """
    value = getattr(output, "logits", output)
    if isinstance(value, list | tuple) and value:
        value = value[0]
    if not isinstance(value, torch.Tensor) or value.ndim != 2:
        shape = f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(output).__name__
        raise ValueError(f"a classifier must return logits of shape (N, classes), but the model returned {shape}")
    return value


def _coverage(model: LoadedModel, module: nn.Module, example: torch.Tensor) -> Coverage:
    try:
        found = coverage(module, example)
        with torch.no_grad():
            logits(module(example))
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{model.name} fails on inputs of shape {tuple(example.shape)}: {reason}.") from error
    return found
