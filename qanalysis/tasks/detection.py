"""Detection: boxes with classes, and masks where a network gives some."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision.models import detection as zoo
from torchvision.models.detection.ssd import SSD

from qanalysis.data.split import lists
from qanalysis.nn.structure import Inputs, count, leaves, shapes
from qanalysis.schema.errors import UserError
from qanalysis.schema.tasks import TASKS
from qanalysis.tasks import average_precision as ap
from qanalysis.tasks.cut import Cut, Tensors
from qanalysis.tasks.task import Statistics, Task, mean_nmse

#: Detections of an image that are kept where the network does not say how many it gives at the most.
_MOST = 300
#: A box of fp32's stands for a target from this score on, and a box is shown as found.
SURE = 0.5
#: Score from which on a box is shown.
SHOWN = 0.3
#: Least overlap of two boxes that are the same one.
_SAME = 0.5
#: Boxes at which second stages are compared, as shares of the image: the image itself, its quarters, its ninths.
_PROBES = tuple(
    (column / cells, row / cells, (column + 1) / cells, (row + 1) / cells)
    for cells in (1, 2, 3)
    for row in range(cells)
    for column in range(cells)
)


_ONE_STAGE = (zoo.RetinaNet, zoo.FCOS, SSD)
#: What the images are called in a file.
IMAGES = "images"
#: What is not in the file of a detector with one stage, or with two.
_NOT_IN_FILE = {
    True: "Boxes are not chosen in the file, which ends at the raw heads: what is kept depends on the values "
    "(non-maximum suppression). Images are resized and normalised before it.",
    False: "The file ends at the first stage's heads: which boxes the second stage looks at depends on the values, so "
    "it is left to PyTorch, as is the choice of boxes. Images are resized and normalised before it.",
}
#: Shapes of feature maps by size of the images, for every backbone.
_MAPS: WeakKeyDictionary[nn.Module, dict[tuple[int, ...], dict[str, tuple[int, ...]]]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Detected:
    """What a detector returned.

    Attributes:
        images: for each image a dictionary with `boxes` `(K, 4)`, `scores` and `labels` `(K,)`, and maybe `masks`.
        heads: what its heads computed before boxes were chosen, samples first; empty where the heads are not known.
    """

    images: list[dict[str, torch.Tensor]]
    heads: tuple[torch.Tensor, ...]


class Detection(Task):
    """COCO's mean average precision of the boxes in %.

    Divergence is measured on the raw heads: what is chosen from them jumps. Second stages, which look at boxes that the
    first stage proposes, are compared at boxes that are the same for every network: they ride along, and are taken out
    of what is returned.

    Args:
        classes: one more than the largest class number of the data; None where that is not known.
        data: name of the data, for sentences.
    """

    name = "detection"
    words = TASKS["detection"].words
    smooth = False
    learns = True

    def __init__(self, classes: int | None = None, data: str = "the data") -> None:
        self._of_data = self._classes = classes or 0
        self._of_model = 0
        self._data = data
        self._most = _MOST
        self._masks = False

    def collate(self, samples: Sequence[tuple[Any, Any]]) -> tuple[Inputs, Any]:
        """See `Task.collate`: lists of images and of targets."""
        return lists(samples)

    def call(self, model: Callable[..., Any], inputs: Inputs) -> Any:
        """See `Task.call`: a list of images is one argument."""
        return model(list(inputs) if isinstance(inputs, list | torch.Tensor) else inputs)

    def visit(self, model: Any, inputs: Inputs) -> None:
        """See `Task.visit`: with one stage nothing is computed after the heads but the choice of boxes."""
        if any(isinstance(module, _ONE_STAGE) for module in model.modules()):
            _until_heads(model, _prepared_images(model, inputs))
        else:
            self.call(model, inputs)

    def measured(self, model: Callable[..., Any], inputs: Inputs) -> Detected:
        """See `Task.measured`: with what the heads computed."""
        with _listening(model) as heard:
            raw = self.call(model, inputs)
        samples = count(inputs)
        if isinstance(raw, Mapping) and samples == 1:
            raw = [raw]
        if not isinstance(raw, list | tuple) or not all(_is_detection(one) for one in raw):
            return Detected([], tuple(tensor for _, tensor in leaves(raw)))
        return Detected(list(raw), heard.heads(samples))

    def check(self, raw: Any, targets: Any, samples: int) -> None:
        """See `Task.check`."""
        if len(raw.images) != samples:
            raise UserError(
                "the task detection needs a list with boxes, scores and labels for each image, but the model returned "
                f"{shapes(raw.heads)}"
            )
        if targets is not None and self._of_model and self._of_data > self._of_model:
            raise UserError(
                f"{self._data} has {self._of_data} classes (the largest number is {self._of_data - 1}), but the "
                f"model has "
                f"{self._of_model}: use data of these classes, or a model for that many."
            )
        self._masks = any("masks" in image for image in raw.images)

    def check_targets(self, targets: Any) -> None:
        """See `Task.check_targets`."""
        good = isinstance(targets, list) and all(
            isinstance(target, Mapping) and {"boxes", "labels"} <= set(target) for target in targets
        )
        if not good:
            said = shapes(targets) if leaves(targets) else f"a {type(targets).__name__}"
            raise UserError(
                f"{self._data} must have a dictionary with boxes and labels as the target of every image for the task "
                f"detection, but has {said}; say what it is for with --task."
            )
        for target in targets:
            boxes, labels = torch.as_tensor(target["boxes"]), torch.as_tensor(target["labels"])
            if boxes.ndim != 2 or boxes.shape[1] != 4 or len(boxes) != len(labels):
                raise UserError(
                    f"{self._data} must have boxes (K, 4) and labels (K,), but has {tuple(boxes.shape)} and "
                    f"{tuple(labels.shape)}."
                )

    def cut(self, model: nn.Module, example: Inputs) -> Cut:
        """See `Task.cut`: from prepared images to the raw heads; boxes are chosen outside."""
        found = [m for m in model.modules() if isinstance(m, (*_ONE_STAGE, zoo.FasterRCNN))]
        if not found:
            raise UserError(
                "A detector that is none of torchvision's cannot be cut at its heads: export the part without the "
                "choice of boxes as a network of its own, with --task fidelity."
            )
        return Cut(_prepared_images, _until_heads, self._from_heads, _NOT_IN_FILE[isinstance(found[0], _ONE_STAGE)])

    def _from_heads(self, model: nn.Module, outputs: Tensors, inputs: Inputs) -> Detected:
        with _given(_detector(model), outputs):
            return self.measured(model, inputs)

    def outputs(self, raw: Detected) -> tuple[torch.Tensor, ...]:
        """See `Task.outputs`: the raw heads; scores and boxes as one row where the heads are not known."""
        if raw.heads:
            return raw.heads
        return (torch.stack([_summary(image) for image in raw.images]),)

    def answers(self, raw: Detected) -> list[dict[str, torch.Tensor]]:
        """See `Task.answers`: boxes, scores and labels of every image."""
        return raw.images

    def as_targets(self, answers: list[dict[str, torch.Tensor]]) -> list[dict[str, torch.Tensor]]:
        """See `Task.as_targets`: the boxes that fp32 is sure of."""
        targets = []
        for image in answers:
            sure = image["scores"] >= SURE
            target = {"boxes": image["boxes"][sure], "labels": image["labels"][sure]}
            if "masks" in image:
                target["masks"] = image["masks"][sure]
            targets.append(target)
        return targets

    def divergence(self, outputs: Sequence[torch.Tensor], reference: Sequence[torch.Tensor]) -> torch.Tensor:
        """See `Task.divergence`."""
        return mean_nmse(outputs, reference)

    def statistics(self, answers: list[dict[str, torch.Tensor]], targets: Any) -> torch.Tensor:
        """See `Task.statistics`: scores, classes and matches of the detections, and how many boxes there are.

        `(N, 3 D + C)` for D detections and C classes, `(N, 4 D + C)` with masks; detections that are not there are NaN.
        """
        return torch.from_numpy(
            np.stack([self._row(image, target) for image, target in zip(answers, targets, strict=True)])
        )

    def accuracy_of(self, statistics: Statistics) -> float:
        """See `Task.accuracy_of`."""
        return float(ap.mean(ap.average_precisions(self._matches(statistics))[0]))

    def accuracies_without(self, statistics: Statistics, groups: NDArray[np.int64], count: int) -> NDArray[np.float64]:
        """See `Task.accuracies_without`."""
        return np.asarray(ap.mean(ap.average_precisions(self._matches(statistics), groups, count)[1:]))

    def details(self, statistics: Statistics) -> Mapping[str, float]:
        """See `Task.details`: at overlaps of 0.5 and 0.75, and of masks."""
        precisions = ap.average_precisions(self._matches(statistics))[0]
        figures = {"AP50": float(ap.mean(precisions[:, :1])), "AP75": float(ap.mean(precisions[:, 5:6]))}
        if self._masks:
            figures["mask mAP"] = float(ap.mean(ap.average_precisions(self._matches(statistics, masks=True))[0]))
        return figures

    def same(self, answers: list[dict[str, torch.Tensor]], reference: list[dict[str, torch.Tensor]]) -> torch.Tensor:
        """See `Task.same`: boxes that both are sure of and that are the same, as a share of those of either (F1)."""
        shares = []
        for one, other in zip(answers, reference, strict=True):
            (boxes, labels), (others, other_labels) = (_sure(image) for image in (one, other))
            if not len(boxes) + len(others):
                shares.append(1.0)
                continue
            overlaps = ap.box_overlaps(boxes, others, np.zeros(len(others), bool))
            overlaps = np.where(labels[:, None] == other_labels[None], overlaps, 0.0)
            both = min(int((overlaps >= _SAME).any(axis).sum()) for axis in (0, 1)) if overlaps.size else 0
            shares.append(2 * both / (len(boxes) + len(others)))
        return torch.tensor(shares, dtype=torch.float64)

    def shown(self, answers: list[dict[str, torch.Tensor]], sample: int) -> dict[str, Any]:
        """See `Task.shown`: the boxes that are not unlikely."""
        image = answers[sample]
        likely = image["scores"] >= SHOWN
        chosen = {key: image[key][likely] for key in ("boxes", "labels", "scores")}
        return {"boxes": _listed(chosen["boxes"], chosen["labels"], chosen["scores"])}

    def shown_target(self, targets: list[Any], sample: int) -> dict[str, Any]:
        """See `Task.shown_target`."""
        boxes, labels = (torch.as_tensor(targets[sample][key]) for key in ("boxes", "labels"))
        return {"boxes": _listed(boxes, labels, torch.ones(len(labels)))}

    def loss(
        self, model: nn.Module, inputs: Inputs, targets: Any, teacher: nn.Module | None, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        """See `Task.loss`: the detector's own, which it returns in training mode."""
        if teacher is not None:
            raise UserError("a detector learns from boxes alone, with its own loss: leave the teacher out")
        losses = model(list(inputs), [_for_training(target) for target in targets])
        if not isinstance(losses, Mapping) or not all(isinstance(value, torch.Tensor) for value in losses.values()):
            raise UserError(
                "a detector must return a dictionary of losses in training mode, given images and targets, as "
                f"torchvision's do, but it returned {shapes(losses)}"
            )
        return sum((value.float().sum() for value in losses.values()), torch.zeros(())) * len(inputs)

    def _row(self, image: Mapping[str, torch.Tensor], target: Mapping[str, Any]) -> NDArray[np.float64]:
        scores, labels = _array(image["scores"]), _array(image["labels"]).astype(np.int64)
        boxes = _array(image["boxes"]).reshape(-1, 4)
        wanted = _array(target["labels"]).astype(np.int64)
        crowd = _array(target.get("iscrowd", torch.zeros(len(wanted)))).astype(bool)
        there = _array(target["boxes"]).reshape(-1, 4)
        masks = _masks_of(image, target) if self._masks and "masks" in target else None
        most = np.argsort(-scores, kind="stable")[: self._most]
        row = np.full((4 if self._masks else 3) * self._most, np.nan)
        place = 0
        for number in np.unique(labels[most]):
            mine = most[labels[most] == number]
            truth = np.flatnonzero(wanted == number)
            overlaps = ap.box_overlaps(boxes[mine], there[truth], crowd[truth])
            hit, ignored, order = ap.matched(scores[mine], overlaps, crowd[truth])
            taken = slice(place, place + len(order))
            columns = [scores[mine][order], np.full(len(order), number), ap.packed(hit, ignored)]
            if masks is not None:
                of_masks = ap.mask_overlaps(masks[0][mine], masks[1][truth], crowd[truth])
                hit, ignored, _ = ap.matched(scores[mine], of_masks, crowd[truth])
                columns.append(ap.packed(hit, ignored))
            for column, values in enumerate(columns):
                row.reshape(-1, self._most)[column, taken] = values
            place += len(order)
        counts = np.bincount(wanted[~crowd], minlength=self._classes)
        if len(counts) > self._classes:
            raise UserError(
                f"{self._data} has the class {len(counts) - 1} in an image, but says that there are {self._classes}."
            )
        return np.concatenate([row, counts])

    def prepare(self, model: nn.Module) -> None:
        """See `Task.prepare`: how many detections it gives, and how many classes there can be."""
        numbers = [getattr(module, "detections_per_img", None) for module in model.modules()]
        self._most = max((int(number) for number in numbers if number), default=_MOST)
        known = [getattr(module, "num_classes", 0) for module in model.modules()]
        logits = [getattr(getattr(m, "cls_score", None), "out_features", 0) for m in model.modules()]
        self._of_model = max(int(number) for number in (*known, *logits, 0) if isinstance(number, int))
        self._classes = max(self._of_data, self._of_model, 1)

    def _matches(self, statistics: Statistics, masks: bool = False) -> ap.Matches:
        width = self._most
        scores, classes, codes = (statistics[:, number * width : (number + 1) * width] for number in range(3))
        if masks:
            codes = statistics[:, 3 * width : 4 * width]
        boxes = statistics[:, (4 if self._masks else 3) * width :]
        there = ~np.isnan(scores)
        hit, ignored = ap.unpacked(np.nan_to_num(codes[there]))
        images = np.nonzero(there)[0]
        return ap.Matches(classes[there].astype(np.int64), scores[there], hit, ignored, images, boxes)


class _Heard:
    """What heads said in one forward."""

    def __init__(self) -> None:
        self.tensors: list[torch.Tensor] = []
        self.rows: list[torch.Tensor] = []

    def heads(self, images: int) -> tuple[torch.Tensor, ...]:
        """All of it, images first."""
        rows = [tensor.reshape(images, -1) for tensor in self.rows]
        return tuple(tensor for tensor in (*self.tensors, *rows) if tensor.ndim and len(tensor) == images)


@contextmanager
def _listening(model: Any) -> Iterator[_Heard]:
    """Notes what the heads of torchvision's detectors compute while a model runs."""
    heard = _Heard()
    hooks: list[Any] = []
    for module in model.modules() if isinstance(model, nn.Module) else ():
        if isinstance(module, _ONE_STAGE):
            hooks.append(module.head.register_forward_hook(partial(_hear, heard)))
        elif isinstance(module, zoo.FasterRCNN):
            hooks.append(module.rpn.head.register_forward_hook(partial(_hear, heard)))
            if not module.training:
                hooks += _probed(module.roi_heads, heard)
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()


def _detector(model: Any) -> Any:
    return next(m for m in model.modules() if isinstance(m, (*_ONE_STAGE, zoo.FasterRCNN)))


def _prepared_images(model: nn.Module, inputs: Inputs) -> Tensors:
    """Images resized, normalised and padded to one batch, as the detector itself does."""
    images, _ = _detector(model).transform(list(inputs))
    return {IMAGES: images.tensors}


def _until_heads(model: Any, given: Tensors) -> Tensors:
    """What the heads compute; of two stages the maps and the first stage's heads."""
    detector = _detector(model)
    features = detector.backbone(given[IMAGES])
    maps = [features] if isinstance(features, torch.Tensor) else list(features.values())
    if isinstance(detector, _ONE_STAGE):
        return dict(detector.head(maps))
    scores, boxes = detector.rpn.head(maps)
    named = {f"features_{number}": tensor for number, tensor in enumerate(maps)}
    named |= {f"objectness_{number}": tensor for number, tensor in enumerate(scores)}
    return named | {f"deltas_{number}": tensor for number, tensor in enumerate(boxes)}


@contextmanager
def _given(detector: Any, outputs: Tensors) -> Iterator[None]:
    """A detector whose backbone and heads return what a file gave."""
    one_stage = isinstance(detector, _ONE_STAGE)
    head = detector.head if one_stage else detector.rpn.head
    numbers = range(sum(name.startswith("features_") for name in outputs))

    def heads(*args: Any) -> Any:
        if one_stage:
            return dict(outputs)
        return [outputs[f"objectness_{n}"] for n in numbers], [outputs[f"deltas_{n}"] for n in numbers]

    def backbone(images: torch.Tensor) -> Any:
        maps = _maps(detector.backbone, images)
        if one_stage:  # of these only the sizes matter
            return OrderedDict((key, images.new_zeros(len(images), *shape)) for key, shape in maps.items())
        return OrderedDict((key, outputs[f"features_{n}"]) for n, key in enumerate(maps))

    detector.backbone.forward, head.forward = backbone, heads
    try:
        yield
    finally:
        del detector.backbone.forward, head.forward


@torch.no_grad()
def _maps(backbone: Any, images: torch.Tensor) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of a backbone's maps of one image, found out once for every size."""
    known = _MAPS.setdefault(backbone, {})
    size = tuple(images.shape[1:])
    if size not in known:
        features = type(backbone).forward(backbone, images[:1])
        maps = {"0": features} if isinstance(features, torch.Tensor) else features
        known[size] = {key: tuple(tensor.shape[1:]) for key, tensor in maps.items()}
    return known[size]


def _hear(heard: _Heard, module: nn.Module, args: Any, output: Any) -> None:
    heard.tensors += [tensor for _, tensor in leaves(output)]


def _probed(roi_heads: Any, heard: _Heard) -> list[Any]:
    """Lets the second stages look at further boxes, and takes what they say of these out of their answers."""
    hooks = []
    for stage in ("box", "mask", "keypoint"):
        pool, predictor = (getattr(roi_heads, f"{stage}_{part}", None) for part in ("roi_pool", "predictor"))
        if pool is None or predictor is None:
            continue
        counts: list[int] = []
        hooks.append(pool.register_forward_pre_hook(partial(_add_probes, counts)))
        hooks.append(predictor.register_forward_hook(partial(_take_probes, counts, heard)))
    return hooks


def _add_probes(counts: list[int], module: nn.Module, args: Any) -> Any:
    features, boxes, sizes = args
    counts[:] = [len(of_image) for of_image in boxes]
    more = [
        torch.tensor(_PROBES, dtype=of_image.dtype, device=of_image.device)
        * torch.tensor([width, height, width, height], dtype=of_image.dtype, device=of_image.device)
        for of_image, (height, width) in zip(boxes, sizes, strict=True)
    ]
    return features, [torch.cat([of_image, probes]) for of_image, probes in zip(boxes, more, strict=True)], sizes


def _take_probes(counts: list[int], heard: _Heard, module: nn.Module, args: Any, output: Any) -> Any:
    kept: list[int] = []
    probes: list[int] = []
    start = 0
    for boxes in counts:
        kept += range(start, start + boxes)
        probes += range(start + boxes, start + boxes + len(_PROBES))
        start += boxes + len(_PROBES)

    def without(tensor: torch.Tensor) -> torch.Tensor:
        heard.rows.append(tensor[probes])
        return tensor[kept]

    return tuple(without(tensor) for tensor in output) if isinstance(output, tuple) else without(output)


def _listed(boxes: torch.Tensor, labels: torch.Tensor, scores: torch.Tensor) -> list[dict[str, Any]]:
    rows = zip(boxes.tolist(), labels.tolist(), scores.tolist(), strict=True)
    return [
        {"corners": [round(side, 1) for side in corners], "label": label, "score": round(score, 4)}
        for corners, label, score in rows
    ]


def _is_detection(value: Any) -> bool:
    return isinstance(value, Mapping) and {"boxes", "scores", "labels"} <= set(value)


def _for_training(target: Mapping[str, Any]) -> dict[str, Any]:
    """A target without its crowds, which no detector learns from."""
    crowd = target.get("iscrowd")
    kept = slice(None) if crowd is None else ~torch.as_tensor(crowd).bool()
    return {
        key: value[kept] if isinstance(value, torch.Tensor) and value.ndim else value
        for key, value in target.items()
        if key != "iscrowd"
    }


def _sure(image: Mapping[str, torch.Tensor]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    sure = image["scores"] >= SURE
    return _array(image["boxes"][sure]).reshape(-1, 4), _array(image["labels"][sure])


def _summary(image: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Scores of an image's surest boxes, for detectors whose heads are not known."""
    scores = image["scores"].float().sort(descending=True).values[:100]
    return torch.nn.functional.pad(scores, (0, 100 - len(scores)))


def _masks_of(
    image: Mapping[str, torch.Tensor], target: Mapping[str, Any]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    given, wanted = _array(image["masks"]), _array(target["masks"])
    size = wanted.shape[-2:] if wanted.size else given.shape[-2:]
    return given.reshape(-1, *size) > 0.5, wanted.reshape(-1, *size) > 0.5


def _array(tensor: Any) -> NDArray[np.float64]:
    return np.asarray(torch.as_tensor(tensor).detach().cpu().numpy(), np.float64)
