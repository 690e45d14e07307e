"""Answers sample by sample, in floating point and quantized, with small images of those that changed."""

import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from qanalysis import task as tasks
from qanalysis.analysis.measure import score
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.ground import calibrated
from qanalysis.analysis.measure.progress import Report, silent
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.schema.digest import digest
from qanalysis.schema.params.accuracy import AnswersParams
from qanalysis.schema.results.answers import Answers, AnswersResult
from qanalysis.task import Task

#: Images of the samples that were answered differently.
IMAGES = "images.npz"
#: How many are kept, and how large their longer side is at the most, in pixels.
_MOST, _LARGEST = 400, 96


def run(params: AnswersParams, report: Report = silent, folder: Path | None = None) -> AnswersResult:
    """Runs fp32 and every calibration on the same samples; with a folder, images are kept and a killed run goes on.

    Raises:
        ValueError: with one sentence, for bad names, files or data, or a plan of another model.
    """
    start = time.perf_counter()
    checkpoint = Checkpoint(folder, digest("answers", params))
    task = tasks.load(params)
    plan = params.checked_plan(task.coverage)
    ground = calibrated(task, plan, params.calibrations, params.calibration_samples, report, fold=params.fold_bn)
    measure = partial(score.answers, task, samples=params.evaluation_samples, report=report, checkpoint=checkpoint)
    reference = measure(ground.module, stage="fp32")
    fp32 = _of(reference)
    quantized = {
        name: _of(measure(QuantizedModel(ground.module, plan, table), stage=name))
        for name, table in ground.tables.items()
    }
    changed = sorted(
        sample
        for sample, said in enumerate(fp32.classes)
        if any(other.classes[sample] != said for other in quantized.values())
    )[:_MOST]
    kept = None
    if folder is not None and changed:
        pictures = _pictures(task, changed)
        if pictures is not None:
            np.savez_compressed(folder / IMAGES, images=pictures)
            kept = IMAGES
    return AnswersResult(
        **task.cards(),
        params=params,
        metric=task.metric,
        labels=None if reference.labels is None else tuple(reference.labels.tolist()),
        fp32=fp32,
        quantized=quantized,
        images=kept,
        pictured=tuple(changed) if kept else (),
        seconds=time.perf_counter() - start,
    )


def _of(given: score.Outputs) -> Answers:
    probabilities = torch.from_numpy(given.logits).softmax(1).amax(1).numpy()
    return Answers(
        classes=tuple(given.predictions.tolist()),
        confidence=tuple(np.round(probabilities.astype(np.float64), 4).tolist()),
    )


def _pictures(task: Task, samples: list[int]) -> NDArray[np.uint8] | None:
    """uint8 `(N, H, W, 3)`, made smaller where they are large; None where samples are no images."""
    split = task.data.evaluation
    places = split.readable()
    try:
        full = [split.pixels(int(places[sample])) for sample in samples]
    except ValueError:  # inputs that are no images can be classified, too
        return None
    height, width = full[0].shape[:2]
    scale = min(1.0, _LARGEST / max(height, width))
    if scale == 1.0:
        return np.stack(full)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)) for image in full])
