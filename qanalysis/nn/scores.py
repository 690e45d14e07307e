"""Class scores: the `(N, classes)` tensor in what a classifier returns, whatever it is packed in."""

from typing import Any

import torch

from qanalysis.nn.structure import leaves
from qanalysis.schema.errors import UserError

#: Fields and keys that say which output holds the scores.
_NAMES = ("logits", "out", "output", "scores")


def class_scores(output: Any, classes: int | None = None) -> torch.Tensor:
    """The scores `(N, classes)`: a tensor, or the one of several that is named so or has as many classes as the data.

    Outputs `(N, C, 1, 1)` are taken for `(N, C)`.

    Args:
        output: what the model returned: a tensor, or a tuple, list, dictionary or dataclass of tensors.
        classes: number of classes, where it is known.

    Raises:
        UserError: if there is none, or it cannot be told which one it is.
    """
    named = [(name, scores) for name, value in leaves(output) if (scores := _two_dimensional(value)) is not None]
    if not named:
        raise UserError(f"a classifier must return logits of shape (N, classes), but {_told(output)}")
    for wanted in _NAMES:
        for name, scores in named:
            if name == wanted:
                return scores
    fitting = [scores for _, scores in named if classes is not None and scores.shape[1] == classes]
    if fitting:
        return fitting[0]
    if len({scores.shape[1] for _, scores in named}) > 1:
        raise UserError(f"which output holds the class scores cannot be told: {_told(output)}; return these alone")
    return named[0][1]


def heads(output: Any) -> int:
    """How many outputs could be class scores."""
    return sum(_two_dimensional(value) is not None for _, value in leaves(output))


def _two_dimensional(value: torch.Tensor) -> torch.Tensor | None:
    """Scores `(N, C)` with C of at least two, dimensions of size 1 behind them dropped; None if it is none."""
    if value.is_floating_point() and value.ndim >= 2 and value.shape[1] >= 2 and value.shape[2:].numel() == 1:
        return value if value.ndim == 2 else value.flatten(1)
    return None


def _told(output: Any) -> str:
    found = leaves(output)
    if not found:
        return f"the model returned {type(output).__name__}"
    shapes = ", ".join(f"{f'{name} ' if name else ''}{tuple(value.shape)}" for name, value in found[:4])
    more = ", …" if len(found) > 4 else ""
    if len(found) == 1 and (found[0][1].ndim < 2 or found[0][1].shape[1:].numel() == 1):
        return f"the model returned shape {shapes}: one number a sample, as regression does"
    return f"the model returned shape {shapes}{more}" if len(found) == 1 else f"the model returned {shapes}{more}"
