"""A model with what is needed to feed it and to say where it comes from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from qanalysis.models.processor import Processor
from qanalysis.schema.trained import TrainedQuantization


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model by name.

    Attributes:
        name: the name it was loaded by.
        module: the network, in evaluation mode.
        trained: whether it carries trained weights; random ones are marked everywhere.
        origin: one sentence about where architecture and weights come from.
        input_shape: `(C, H, W)` of one input, `(C, T, H, W)` of a video, where known.
        transform: from a PIL image to an input, where the weights come with one.
        mean: per channel, on inputs in [0, 1]; None if unknown.
        std: per channel, likewise.
        architecture: name of the architecture, to find the paper's own row (`resnet50`).
        notes: what a reader of any result must know of it, e.g. that it was cast.
        task: what it is for, a key of `schema.tasks.TASKS`; empty where that is not known.
        trained_quantization: the plan and ranges that it was fine-tuned with, if it is a QAT checkpoint.
        processor: from texts or sounds to its inputs, and from its numbers to words; None where it takes neither.
    """

    name: str
    module: nn.Module
    trained: bool
    origin: str
    input_shape: tuple[int, ...] | None = None
    transform: Callable[[Any], torch.Tensor] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    architecture: str = ""
    trained_quantization: TrainedQuantization | None = None
    notes: tuple[str, ...] = ()
    task: str = ""
    processor: Processor | None = None
