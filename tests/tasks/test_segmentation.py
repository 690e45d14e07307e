"""Segmentation: torchvision's definition of mean IoU, divergence, loss, and what is refused."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from qanalysis.schema.errors import UserError
from qanalysis.tasks.segmentation import IGNORED, Segmentation


def raw(n: int = 6, classes: int = 4, side: int = 12, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(n, classes, side, side, generator=generator) for name in ("out", "aux")}


def masks(n: int = 6, classes: int = 4, side: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    found = torch.randint(0, classes, (n, side, side), generator=generator)
    found[:, :2, :3] = IGNORED
    return found


def reference_miou(scores: torch.Tensor, targets: torch.Tensor) -> float:
    """As `references/segmentation/utils.py` of torchvision counts: one confusion matrix, ignored pixels left out."""
    classes = scores.shape[1]
    a, b = targets.flatten(), scores.argmax(1).flatten()
    inside = (a >= 0) & (a < classes)
    matrix = torch.bincount(classes * a[inside] + b[inside], minlength=classes**2).reshape(classes, classes).double()
    union = matrix.sum(1) + matrix.sum(0) - torch.diag(matrix)
    return float(100 * (torch.diag(matrix) / union).mean())


def test_mean_iou_is_torchvision_s():
    task, given, targets = Segmentation(4), raw(), masks()
    statistics = task.statistics(task.answers(given), targets).numpy()
    assert task.accuracy_of(statistics) == pytest.approx(reference_miou(given["out"], targets))
    right = (given["out"].argmax(1) == targets)[targets != IGNORED].double().mean()
    assert task.details(statistics)["pixel accuracy"] == pytest.approx(100 * float(right))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_any_split_into_batches_gives_the_same_statistics(size):
    task, given, other, targets = Segmentation(4), raw(), raw(seed=1), masks()
    whole = task.statistics(task.answers(given), targets)
    far = task.divergence(task.outputs(given), task.prepared(task.outputs(other)))
    for start in range(0, 6, size):
        some = slice(start, start + size)
        part, fp32 = ({key: value[some] for key, value in one.items()} for one in (given, other))
        assert torch.equal(task.statistics(task.answers(part), targets[some]), whole[some])
        assert torch.equal(task.divergence(task.outputs(part), task.prepared(task.outputs(fp32))), far[some])


def test_divergence_is_the_mean_over_pixels_and_heads():
    task, given, fp32 = Segmentation(4), raw(), raw(seed=1)
    expected = []
    for name in ("out", "aux"):
        log_p, log_q = fp32[name].double().log_softmax(1), given[name].double().log_softmax(1)
        expected.append((log_p.exp() * (log_p - log_q)).sum(1).flatten(1).mean(1))
    found = task.divergence(task.outputs(given), task.prepared(task.outputs(fp32)))
    assert torch.allclose(found, torch.stack(expected).mean(0), rtol=1e-5)


def test_small_answers_are_enlarged_to_the_masks():
    task, targets = Segmentation(4), masks(side=24)
    statistics = task.statistics(task.answers(raw()), targets).numpy()
    large = functional.interpolate(raw()["out"], (24, 24), mode="bilinear", align_corners=False)
    assert task.accuracy_of(statistics) == pytest.approx(reference_miou(large, targets))


class Segmenter(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return raw(len(x))


def test_the_auxiliary_head_counts_half_in_the_loss():
    targets, given = masks(), raw()
    found = Segmentation(4).loss(Segmenter(), torch.zeros(6, 3, 12, 12), targets, None)
    main, aux = (functional.cross_entropy(given[name], targets, ignore_index=IGNORED) for name in ("out", "aux"))
    assert float(found) == pytest.approx(6 * float(main + 0.5 * aux), rel=1e-6)


@pytest.mark.parametrize(
    ("targets", "says"),
    [
        (torch.zeros(2, dtype=torch.int64), "must have masks"),
        (torch.zeros(2, 4, 4), "must have masks"),
        ([{"boxes": 1}], "must have masks"),
        (torch.full((1, 4, 4), 9), "the class 9 in a mask, but the model has 4 classes"),
        (torch.full((1, 4, 4), -1), "the class -1 in a mask"),
    ],
)
def test_other_targets_are_refused(targets, says):
    task = Segmentation(None, "masks:here")
    task.check(raw(1), None, 1)
    with pytest.raises(UserError, match=says):
        task.check_targets(targets)


def test_classes_that_occur_nowhere_do_not_count():
    task = Segmentation(3)
    statistics = np.array([[5.0, 0.0, 0.0, 10.0, 0.0, 0.0]])
    assert task.accuracy_of(statistics) == pytest.approx(50)
