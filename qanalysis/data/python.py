"""`python:package.module:factory`: a function of the user's that returns datasets."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from qanalysis.data.batches import BatchesSplit
from qanalysis.data.loaded import LoadedData
from qanalysis.data.order import fair
from qanalysis.data.split import DatasetSplit, Split
from qanalysis.models.loaded import LoadedModel
from qanalysis.models.python import call_factory
from qanalysis.names import Name
from qanalysis.schema.errors import UserError

PARTS = ("calibration", "evaluation", "training")


def load(name: Name, model: LoadedModel, seed: int) -> LoadedData:
    """Calls the factory, with the name's options as keyword arguments (strings).

    It returns datasets of `(input, target)` or `input`, ready for the model: `(calibration, evaluation)`,
    `(calibration, evaluation, training)`, or a dict with these keys; or `LoadedData`, which can say more. In place of a
    dataset it may give batches: a `DataLoader`, or anything that can be iterated; they are read once. Inputs may be
    tensors, or tuples and dictionaries of them. Samples of datasets are taken in shuffled order, balanced over the
    classes if the dataset lists its labels as `targets`, so that any number of them is a fair choice.

    Raises:
        UserError: if the factory cannot be imported, fails, or returns something else, or a dataset is empty.
    """
    return of_value(name, call_factory(name), f"returned by {name.rest}", seed)


def of_value(name: Name, result: Any, origin: str, seed: int) -> LoadedData:
    """Data from what a factory returned, or somebody gave.

    Raises:
        UserError: if it is something else, or a dataset is empty.
    """
    if isinstance(result, LoadedData):
        return replace(result, name=str(name))
    datasets = _by_part(name, result)
    calibration, evaluation, training = (
        None if dataset is None else _split(name, part, dataset, seed)
        for part, dataset in ((part, datasets.get(part)) for part in PARTS)
    )
    assert calibration is not None
    assert evaluation is not None
    try:
        _, targets = next(iter(evaluation.batches(1, 1)))
    except ValueError as error:
        raise UserError(f"{name}, evaluation data: {error}") from error
    return LoadedData(
        str(name),
        origin,
        calibration,
        evaluation,
        training,
        targets is not None,
        tuple(getattr(datasets["evaluation"], "classes", ())),
        tuple(split.note for split in (calibration, evaluation, training) if isinstance(split, BatchesSplit)),
        labels=_labels(datasets["evaluation"]),
    )


def _labels(dataset: Any) -> int | None:
    """One more than the largest label, where the dataset lists them."""
    labels = np.asarray(getattr(dataset, "targets", ()))
    usable = labels.ndim == 1 and labels.dtype.kind in "iu" and len(labels) > 0
    return int(labels.max()) + 1 if usable else None


def _by_part(name: Name, result: Any) -> dict[str, Any]:
    if isinstance(result, tuple | list) and len(result) in (2, 3):
        result = dict(zip(PARTS, result, strict=False))
    if not isinstance(result, dict) or not {*PARTS[:2]} <= set(result) <= set(PARTS):
        got = f"a dict with {', '.join(map(str, result)) or 'no keys'}" if isinstance(result, dict) else None
        got = got or (f"{len(result)} values" if isinstance(result, tuple | list) else type(result).__name__)
        raise UserError(
            f"{name} must return calibration and evaluation datasets, and may return a training dataset "
            f"(a tuple, or a dict with the keys {', '.join(PARTS)}), but returned {got}."
        )
    if result["calibration"] is None or result["evaluation"] is None:
        raise UserError(f"{name} must return calibration and evaluation datasets, but one of them is None.")
    return result


def _split(name: Name, part: str, dataset: Any, seed: int) -> Split:
    if isinstance(dataset, Split):
        return dataset
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")) or _are_batches(dataset):
        if not hasattr(dataset, "__iter__"):
            raise UserError(
                f"{name}: the {part} data must be a dataset with __len__ and __getitem__, or batches to iterate over, "
                f"but {type(dataset).__name__} is neither."
            )
        return BatchesSplit(dataset, f"The {part} data")
    count = len(dataset)
    if count == 0:
        raise UserError(f"{name}: the {part} dataset is empty.")
    labels = np.asarray(getattr(dataset, "targets", None))
    usable = labels.shape == (count,) and labels.dtype.kind in "iu"
    order = fair(labels if usable else None, count, 0 if part == "evaluation" else seed)
    return DatasetSplit(dataset, order, name=f"sample {{}} of the {part} data".format)


def _are_batches(value: Any) -> bool:
    """Whether a list holds batches rather than samples: several labels beside the first input."""
    if not isinstance(value, list | tuple) or not value:
        return False
    first = value[0]
    if not isinstance(first, list | tuple) or len(first) != 2 or not isinstance(first[1], torch.Tensor):
        return False
    return (
        isinstance(first[0], torch.Tensor)
        and first[1].ndim > 0
        and len(first[0]) == len(first[1])
        and first[0].ndim > 1
    )
