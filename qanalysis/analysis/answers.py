"""Answers sample by sample, in floating point and quantized, with small images of those that changed."""

import heapq
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from qanalysis import setup as setups
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.comparison import compare
from qanalysis.analysis.measure.evaluation import Answering, EvaluationBatch
from qanalysis.analysis.measure.ground import calibrated
from qanalysis.analysis.measure.progress import Report, silent
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.schema.digest import digest
from qanalysis.schema.params.accuracy import AnswersParams
from qanalysis.schema.results.answers import Answers, AnswersResult, ChangedSample, Said
from qanalysis.setup import Setup

#: Images of the samples that were answered differently.
IMAGES = "images.npz"
#: How many classified images are kept, and how large their longer side is at the most, in pixels.
_MOST, _LARGEST = 400, 96
#: The same of samples with boxes, masks or values.
_MOST_SHOWN, _LARGEST_SHOWN = 60, 320


@torch.no_grad()
def run(params: AnswersParams, report: Report = silent, folder: Path | None = None) -> AnswersResult:
    """Runs fp32 and every calibration on the same samples; with a folder, images are kept and a killed run goes on.

    Raises:
        UserError: with one sentence, for bad names, files or data, or a plan of another model.
    """
    start = time.perf_counter()
    checkpoint = Checkpoint(folder, digest("answers", params))
    setup = setups.load(params)
    plan = params.checked_plan(setup.coverage)
    ground = calibrated(setup, plan, params.calibrations, params.calibration_samples, report, fold=params.fold_bn)
    models = {name: QuantizedModel(ground.module, plan, table) for name, table in ground.tables.items()}
    reference = Answering(setup, ground.module, params.evaluation_samples, memory_bytes=0)
    if setup.task.name == "classification":
        found = _classes(reference, models, report, checkpoint, folder)
    else:
        found = _changes(reference, models, report, folder)
    return AnswersResult(
        **setup.cards(), params=params, metric=setup.metric, **found, seconds=time.perf_counter() - start
    )


def _classes(
    reference: Answering,
    models: Mapping[str, QuantizedModel],
    report: Report,
    checkpoint: Checkpoint,
    folder: Path | None,
) -> dict[str, Any]:
    """The class that every model says, for every sample."""
    parts = []
    for batch in reference.batches(report, "evaluation"):
        key = f"answers-{batch.index:05d}"
        part = checkpoint.get(key)
        if part is None:
            part = _said(reference.setup, models, batch)
            checkpoint.put(key, **part)
        parts.append(part)
    whole = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    fp32, quantized = _of(whole, "fp32"), {name: _of(whole, f"quantized {name}") for name in models}
    changed = sorted(
        sample
        for sample, said in enumerate(fp32.classes)
        if any(other.classes[sample] != said for other in quantized.values())
    )[:_MOST]
    kept = None
    if folder is not None and changed:
        pictures = _pictures(reference.setup, changed)
        if pictures is not None:
            np.savez_compressed(folder / IMAGES, images=pictures)
            kept = IMAGES
    return {
        "labels": tuple(whole["labels"].tolist()) if "labels" in whole else None,
        "fp32": fp32,
        "quantized": quantized,
        "samples": len(fp32.classes),
        "images": kept,
        "pictured": tuple(changed) if kept else (),
    }


def _said(setup: Setup, models: Mapping[str, QuantizedModel], batch: EvaluationBatch) -> dict[str, NDArray[Any]]:
    scores = {"fp32": batch.reference.answers}
    for name, model in models.items():
        scores[f"quantized {name}"] = setup.task.answers(setup.task.measured(model, batch.inputs))
    part = {} if batch.targets is None else {"labels": batch.targets.numpy()}
    for name, given in scores.items():
        part[f"{name} classes"] = given.argmax(1).cpu().numpy()
        part[f"{name} confidence"] = given.float().cpu().softmax(1).amax(1).numpy()
    return part


def _of(whole: Mapping[str, NDArray[Any]], name: str) -> Answers:
    return Answers(
        classes=tuple(whole[f"{name} classes"].tolist()),
        confidence=tuple(np.round(whole[f"{name} confidence"].astype(np.float64), 4).tolist()),
    )


def _changes(
    reference: Answering, models: Mapping[str, QuantizedModel], report: Report, folder: Path | None
) -> dict[str, Any]:
    """The samples on which models differ most, with what each says."""
    setup, task = reference.setup, reference.setup.task
    worst: list[tuple[float, float, int, dict[str, Any]]] = []
    seen = 0
    for batch in reference.batches(report, "evaluation"):
        fp32 = batch.reference
        raw = {name: task.measured(model, batch.inputs) for name, model in models.items()}
        comparisons = {name: compare(task, one, fp32) for name, one in raw.items()}
        answers = {name: task.answers(one) for name, one in raw.items()}
        for sample in range(len(batch)):
            same = {name: float(one.same[sample]) for name, one in comparisons.items()}
            divergence = {name: float(one.divergence[sample]) for name, one in comparisons.items()}
            rank = (1 - min(same.values()), max(divergence.values()), -(seen + sample))
            if len(worst) == _MOST_SHOWN and rank <= worst[0][:3]:
                continue
            shown = {
                "fp32": task.shown(fp32.answers, sample),
                **{name: task.shown(given, sample) for name, given in answers.items()},
            }
            if batch.targets is not None:
                shown["target"] = task.shown_target(batch.targets, sample)
            entry = (*rank, {"same": same, "divergence": divergence, "shown": shown})
            (heapq.heappush if len(worst) < _MOST_SHOWN else heapq.heapreplace)(worst, entry)
        seen += len(batch)
    files: dict[str, NDArray[Any]] = {}
    ordered = sorted(worst, key=lambda entry: entry[:3], reverse=True)
    changed = [_sample(setup, -number, about, files) for _, _, number, about in ordered]
    kept = folder is not None and bool(files)
    if folder is not None and files:
        np.savez_compressed(folder / IMAGES, allow_pickle=False, **files)
    return {
        "changed": tuple(changed),
        "samples": seen,
        "images": IMAGES if kept else None,
        "pictured": tuple(one.sample for one in changed) if kept else (),
    }


def _sample(setup: Setup, number: int, about: Mapping[str, Any], files: dict[str, NDArray[Any]]) -> ChangedSample:
    size = None
    image = _picture(setup, number)
    if image is not None:
        size = (image.shape[0], image.shape[1])
        files[f"image-{number}"] = _smaller(image, _LARGEST_SHOWN)
    said = {}
    for who, shown in about["shown"].items():
        mask = shown.get("mask")
        if mask is not None:
            files[f"mask-{number}-{who}"] = _smaller(mask, _LARGEST_SHOWN, Image.Resampling.NEAREST)
        said[who] = Said(**{key: value for key, value in shown.items() if key != "mask"})
    return ChangedSample(
        sample=number,
        same=about["same"],
        divergence=about["divergence"],
        target=said.pop("target", None),
        fp32=said.pop("fp32"),
        quantized=said,
        size=size,
    )


def _pictures(setup: Setup, samples: list[int]) -> NDArray[np.uint8] | None:
    """uint8 `(N, H, W, 3)`, made smaller where they are large; None where samples are no images."""
    pictures = [_picture(setup, sample) for sample in samples]
    full = [_smaller(picture, _LARGEST) for picture in pictures if picture is not None]
    return np.stack(full) if len(full) == len(pictures) else None


def _picture(setup: Setup, sample: int) -> NDArray[np.uint8] | None:
    """uint8 `(H, W, 3)`; None where samples are no images."""
    split = setup.data.evaluation
    try:
        return split.pixels(int(split.readable()[sample]))
    except ValueError:  # inputs that are no images can be asked about, too
        return None


def _smaller(
    image: NDArray[np.uint8], largest: int, how: Image.Resampling = Image.Resampling.LANCZOS
) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = min(1.0, largest / max(height, width))
    if scale == 1.0:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(image).resize(size, how))
