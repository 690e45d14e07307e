"""Tasks: what networks are for; one module each, by the table in `schema.tasks`."""

from importlib import import_module
from typing import Any

import torch

from qanalysis.data.loaded import LoadedData
from qanalysis.models.loaded import LoadedModel
from qanalysis.models.python import imported
from qanalysis.names import GIVEN_SOURCE, given
from qanalysis.nn.scores import class_scores
from qanalysis.nn.structure import float_tensors, leaves, shapes
from qanalysis.schema.errors import UserError
from qanalysis.schema.tasks import AUTO, CODE, TASKS
from qanalysis.schema.tasks import Words as Words
from qanalysis.tasks.task import Task as Task

#: Tasks that are told about the data's classes.
_WITH_CLASSES = ("classification", "segmentation", "detection")


def chosen(name: str, model: LoadedModel, data: LoadedData, raw: Any, targets: Any) -> Task:
    """The task of a name; with `auto` what the data says, else the model, else what outputs and targets look like.

    Args:
        name: as `--task` takes it.
        model: may know what it is for.
        data: likewise.
        raw: what the model returned for a sample.
        targets: of that sample; None without.

    Raises:
        UserError: for an unknown name, or code that cannot be imported or is no task.
    """
    if name == AUTO:
        name = data.task or model.task or _looks_like(raw, targets, data)
    classes = len(data.classes) or data.labels
    if name == "classification":
        return named(name, classes, data.name, model.name)
    return named(name, classes, data.name) if name in _WITH_CLASSES else named(name)


def named(name: str, *about: Any) -> Task:
    """A task by its name, told about the data.

    Raises:
        UserError: for an unknown name, or code that cannot be imported or is no task.
    """
    if name.startswith(CODE):
        return _of_code(name)
    if name.startswith(f"{GIVEN_SOURCE}:"):
        return _made(given(name), name)
    if name not in TASKS:
        raise UserError(
            f"Unknown task {name[:80]!r}; choose from auto, {', '.join(TASKS)}, python:package.module:Task."
        )
    module, _, attribute = TASKS[name].where.partition(":")
    task: Task = getattr(import_module(module), attribute)(*about)
    return task


def fitting(raw: Any) -> tuple[str, ...]:
    """Names of the tasks that outputs would do for, the most special first."""
    found = []
    if _detections(raw):
        return ("detection",)
    if any(tensor.ndim == 4 and tensor.shape[1] > 1 and tensor.shape[2:].numel() > 1 for tensor in float_tensors(raw)):
        found.append("segmentation")
    if _is_scores(raw, None):
        found.append("classification")
    if float_tensors(raw) and float_tensors(raw)[0].ndim == 2:
        found += ["embedding", "regression"]
    elif float_tensors(raw):
        found.append("regression")
    return (*found, "fidelity")


def _of_code(name: str) -> Task:
    return _made(imported(name.removeprefix(CODE), "Task"), name)


def _made(kind: Any, name: str) -> Task:
    """A task from a class or an instance of the user's.

    Raises:
        UserError: if it is neither.
    """
    try:
        made = kind() if isinstance(kind, type) else kind
    except Exception as error:  # whatever the user's code does
        raise UserError(f"{name} failed: {type(error).__name__}: {error}") from error
    if not isinstance(made, Task):
        raise UserError(f"{name} must be a subclass of qanalysis.Task, but is {type(made).__name__}.")
    if not isinstance(made.words, Words):
        raise UserError(f"{name}.words must be qanalysis.Words, but is {type(made.words).__name__}.")
    made.name = name
    return made


def _looks_like(raw: Any, targets: Any, data: LoadedData) -> str:
    if _detections(raw):
        return "detection"
    if isinstance(targets, torch.Tensor) and targets.is_floating_point():
        first = float_tensors(raw)[:1]
        alike = bool(first) and first[0].numel() == targets.numel()
        return "regression" if alike else "fidelity"
    if isinstance(targets, torch.Tensor) and targets.ndim == 3 and "segmentation" in fitting(raw):
        return "segmentation"
    if targets is None or (isinstance(targets, torch.Tensor) and targets.ndim == 1):
        if _is_scores(raw, len(data.classes) or data.labels):
            return "classification"
        if targets is not None:  # class numbers, and nothing to say a class with
            return "classification"
    return "fidelity"


def _is_scores(raw: Any, classes: int | None) -> bool:
    try:
        return class_scores(raw, classes) is not None
    except UserError:
        return False


def _detections(raw: Any) -> bool:
    return isinstance(raw, list | tuple) and bool(raw) and all(isinstance(one, dict) and "boxes" in one for one in raw)


def told(raw: Any) -> str:
    """Outputs and the tasks that they would do for, for a sentence."""
    return f"{shapes(raw)}, which would do for the task {' or '.join(fitting(raw))}" if leaves(raw) else shapes(raw)
