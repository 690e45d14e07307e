"""Average precision as COCO defines it (Lin et al. 2014; the rules of its own evaluation code, over all sizes).

Detections of a class are matched to boxes of that class in their image, the surest first, each to the box it overlaps
most and no box twice. Precision is made to fall, read at 101 values of recall and averaged: over these, over ten
thresholds of overlap from 0.5 to 0.95, and over the classes that occur. Crowds count neither for nor against anybody.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

THRESHOLDS: Array = np.linspace(0.5, 0.95, 10)
_RECALLS: Array = np.linspace(0.0, 1.0, 101)
#: Detections of one class in one image that are looked at.
PER_CLASS = 100
_BITS = 2 ** np.arange(len(THRESHOLDS))


@dataclass(frozen=True, eq=False)
class Matches:
    """Detections of some images, matched.

    Attributes:
        classes: `(M,)` class of each detection.
        scores: `(M,)` how sure it is.
        hit: `(M, 10)` whether it found a box, by threshold of overlap.
        ignored: `(M, 10)` whether it counts for nothing, as it found a crowd.
        images: `(M,)` number of its image.
        boxes: `(N, classes)` how many boxes of each class the images have, crowds left out.
    """

    classes: NDArray[np.int64]
    scores: Array
    hit: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    images: NDArray[np.int64]
    boxes: Array


def matched(
    scores: Array, overlaps: Array, crowd: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
    """Matches detections of one class in one image.

    Args:
        scores: `(D,)` of the detections.
        overlaps: `(D, G)` intersection over union with the boxes; with a crowd, over the detection's own area.
        crowd: `(G,)` which boxes are crowds.

    Returns:
        `hit` and `ignored`, both `(D, 10)` in the order of falling scores, and that order `(D,)`, cut at 100.
    """
    order = np.argsort(-scores, kind="stable")[:PER_CLASS]
    last = np.argsort(crowd, kind="stable")  # crowds are looked at after all others
    overlaps, crowd = overlaps[order][:, last], crowd[last]
    detections, boxes = overlaps.shape
    hit = np.zeros((detections, len(THRESHOLDS)), bool)
    ignored = np.zeros_like(hit)
    if not boxes:
        return hit, ignored, order
    taken = np.zeros((len(THRESHOLDS), boxes), bool)
    rows = np.arange(len(THRESHOLDS))
    enough = np.minimum(THRESHOLDS, 1 - 1e-10)[:, None]
    for number in range(detections):
        free = (overlaps[number] >= enough) & ~taken  # (10, G); a crowd is never taken
        for some in (~crowd, crowd):
            open_ = free & some & ~hit[number][:, None]
            # of equal overlaps the last one, as COCO's loop has it
            best = boxes - 1 - np.argmax(np.where(open_, overlaps[number], -1.0)[:, ::-1], axis=1)
            found = open_[rows, best]
            hit[number] |= found
            if some is crowd:
                ignored[number] |= found
            else:
                taken[rows[found], best[found]] = True
    return hit, ignored, order


def average_precisions(found: Matches, groups: NDArray[np.int64] | None = None, count: int = 0) -> Array:
    """Average precision by class and threshold, in [0, 1]: of all images, and without each of the groups.

    Args:
        found: the detections.
        groups: number of the group of every image, `(N,)`.
        count: number of groups.

    Returns:
        `(1 + count, classes, 10)`; NaN for a class that has no box.
    """
    result = np.full((1 + count, found.boxes.shape[1], len(THRESHOLDS)), np.nan)
    image_groups = np.full(len(found.boxes), -1) if groups is None else groups
    positives = np.stack([found.boxes[image_groups != group].sum(0) for group in (-2, *range(count))])  # -2: nobody's
    for number in np.flatnonzero(positives[0]):
        mine = np.flatnonzero(found.classes == number)
        mine = mine[np.argsort(-found.scores[mine], kind="stable")]
        group_of = image_groups[found.images[mine]]
        there = np.stack([group_of != group for group in (-2, *range(count))])  # (1 + count, m)
        counted = there[:, None, :] & ~found.ignored[mine].T[None]
        hits = found.hit[mine].T[None]
        right = np.cumsum(counted & hits, axis=2, dtype=float)
        wrong = np.cumsum(counted & ~hits, axis=2, dtype=float)
        for variant in range(1 + count):
            if positives[variant, number]:
                result[variant, number] = _read_off(right[variant], wrong[variant], positives[variant, number])
    return result


def _read_off(right: Array, wrong: Array, positives: float) -> Array:
    """Mean over 101 recalls of the falling precision, `(10,)`, from sums `(10, m)` along the detections."""
    if right.shape[1] == 0:
        return np.zeros(len(right))
    precision = right / (right + wrong + np.spacing(1))
    falling = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = right / positives
    means = np.empty(len(right))
    for threshold in range(len(right)):
        places = np.searchsorted(recall[threshold], _RECALLS, side="left")
        reached = places < recall.shape[1]
        means[threshold] = falling[threshold, places[reached]].sum() / len(_RECALLS)
    return means


def mean(precisions: Array) -> Array:
    """Mean over the classes that occur, and over thresholds, in %: `(…, classes, 10)` to `(…,)`; 0 if none occurs."""
    there = ~np.isnan(precisions)
    counts = there.sum((-2, -1))
    means: Array = 100 * np.where(there, precisions, 0.0).sum((-2, -1)) / np.maximum(counts, 1)
    return means


def box_overlaps(boxes: Array, others: Array, crowd: NDArray[np.bool_]) -> Array:
    """Intersection over union of boxes `(D, 4)` with `(G, 4)` (left, top, right, bottom), as `matched` takes it."""
    corner = np.maximum(boxes[:, None, :2], others[None, :, :2])
    opposite = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    inside = np.clip(opposite - corner, 0, None).prod(2)
    area = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1)[:, None]
    other = np.clip(others[:, 2:] - others[:, :2], 0, None).prod(1)[None]
    return _over(inside, np.where(crowd[None], area, area + other - inside))


def mask_overlaps(masks: NDArray[np.bool_], others: NDArray[np.bool_], crowd: NDArray[np.bool_]) -> Array:
    """The same of masks `(D, H, W)` with `(G, H, W)`."""
    pixels = masks.shape[1] * masks.shape[2]
    flat, other = (values.reshape(-1, pixels).astype(np.float32) for values in (masks, others))
    inside = (flat @ other.T).astype(np.float64)
    area, other_area = flat.sum(1, dtype=float)[:, None], other.sum(1, dtype=float)[None]
    return _over(inside, np.where(crowd[None], area, area + other_area - inside))


def packed(hit: NDArray[np.bool_], ignored: NDArray[np.bool_]) -> Array:
    """Both `(D, 10)` as one number a detection."""
    codes: Array = (hit @ _BITS + 1024 * (ignored @ _BITS)).astype(np.float64)
    return codes


def unpacked(codes: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The inverse of `packed`."""
    whole = codes.astype(np.int64)[:, None]
    return (whole % 1024 & _BITS) > 0, (whole // 1024 & _BITS) > 0


def _over(inside: Array, union: Array) -> Array:
    return inside / np.where(union > 0, union, 1.0)
