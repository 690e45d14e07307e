"""Which of a model's outputs holds the class scores."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch

from qanalysis.nn.scores import class_scores
from qanalysis.schema.errors import UserError

SCORES, FEATURES = torch.zeros(2, 10), torch.zeros(2, 64)
Named = namedtuple("Named", "features logits")


@dataclass
class Output:
    hidden: torch.Tensor
    logits: torch.Tensor


@pytest.mark.parametrize(
    ("output", "classes"),
    [
        (SCORES, None),
        ((SCORES,), None),
        ({"out": SCORES, "aux": FEATURES}, None),
        ({"x": {"logits": SCORES}, "y": FEATURES}, None),
        (Output(FEATURES, SCORES), None),
        (Named(FEATURES, SCORES), None),
        ((FEATURES, SCORES), 10),
        ([FEATURES, (torch.zeros(2, 3, 4, 4), SCORES)], 10),
        (SCORES[:, :, None, None], None),
        ((SCORES, torch.zeros(2), torch.zeros(2, 1)), None),
        ((SCORES, SCORES.argmax(1)), None),
    ],
    ids=["tensor", "tuple", "out", "nested", "dataclass", "namedtuple", "by classes", "deep", "map", "others", "ids"],
)
def test_finds_them(output, classes):
    found = class_scores(output, classes)
    assert tuple(found.shape) == (2, 10)


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (torch.zeros(2, 1), "one number a sample"),
        (torch.zeros(2), "one number a sample"),
        (torch.zeros(2, 10, 4, 4), r"\(2, 10, 4, 4\)"),
        ((FEATURES, SCORES), "cannot be told"),
        (None, "NoneType"),
        ({}, "dict"),
    ],
)
def test_refuses_what_holds_none_or_several(output, says):
    with pytest.raises(UserError, match=says):
        class_scores(output)
