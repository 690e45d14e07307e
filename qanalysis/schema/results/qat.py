"""Results of quantization-aware training (sections 5.2 and 5.3, Tables 7 and 8)."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from qanalysis.schema.base import Record
from qanalysis.schema.params.qat import QatParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.common import Bounds, Metric, Result, Score
from qanalysis.schema.results.sensitivity import Change
from qanalysis.schema.site import Coverage

Phase = Literal["qat", "fp32"]


class QatRecipe(Record):
    """How the fine-tune is done, with every value that was left open filled in.

    Attributes:
        optimizer: sgd (with momentum) or adamw.
        learning_rate: of the first step; the last has `final_learning_rate`, on a cosine between them.
        final_learning_rate: of the last step.
        weight_decay: of matrices and kernels; vectors (biases, norms) have none.
        label_smoothing: of the cross entropy.
        steps: steps of the optimizer.
        steps_per_epoch: steps in which every training sample is seen once.
        samples: training samples used.
        batch_size: samples of one step.
        notes: sentences that say where the values come from.
    """

    optimizer: Literal["sgd", "adamw"]
    learning_rate: float
    final_learning_rate: float
    weight_decay: float
    label_smoothing: float
    steps: int
    steps_per_epoch: int
    samples: int
    batch_size: int
    notes: tuple[str, ...] = ()


class QatStep(Record):
    """Means over the last few steps.

    Attributes:
        step: number of the last one, from 1.
        epoch: epochs done.
        loss: training loss, in nats.
        learning_rate: of the last one.
        images_per_second: trained on, reading and augmenting included.
    """

    step: int
    epoch: float
    loss: float
    learning_rate: float
    images_per_second: float


class QatEpoch(Record):
    """The network after an epoch; number 0 is before training.

    Attributes:
        epoch: number of the epoch.
        step: steps done.
        validation_accuracy: on the samples that are set aside for calibration, which training does not see, in %: by it
            the epoch to keep is chosen (`kept`). None if they have no labels.
        validation_error: standard error of that accuracy, in points.
        validation_loss: on the same, in nats.
        accuracy: on the evaluation samples, in %.
    """

    epoch: int
    step: int
    validation_accuracy: float | None
    validation_error: float | None = None
    validation_loss: float | None
    accuracy: float


def kept(epochs: Sequence[QatEpoch]) -> int:
    """Place of the epoch to keep: the latest that is not surely worse than the best, by two standard errors.

    Late epochs have the smallest learning rates, and the images set aside may be ones that the original network was
    trained on, which favours epochs close to it; so the best by a hair is not the best.

    Args:
        epochs: at least two, the first before training, which is not chosen.
    """
    if any(epoch.validation_accuracy is None for epoch in epochs):
        return len(epochs) - 1
    accuracies = [epoch.validation_accuracy or 0.0 for epoch in epochs]
    best = max(range(1, len(epochs)), key=lambda place: accuracies[place])
    enough = accuracies[best] - 2 * (epochs[best].validation_error or 0.0)
    return max(place for place in range(1, len(epochs)) if accuracies[place] >= enough)


class QatRun(Record):
    """One fine-tune.

    Attributes:
        phase: of the quantized network, or of the same in floating point (the control).
        steps: losses and rates along the way.
        epochs: accuracies after every epoch.
        best_epoch: number of the epoch whose weights were kept (`kept`).
        step_seconds: median time of forward, backward and update for one batch.
        stopped: why it ended early, as a sentence; None if it did not.
    """

    phase: Phase
    steps: tuple[QatStep, ...]
    epochs: tuple[QatEpoch, ...]
    best_epoch: int
    step_seconds: float
    stopped: str | None = None


class CalibrationScore(Record):
    """What one calibration gives without training.

    Attributes:
        calibration: its name.
        accuracy: in %.
        relative: 100 (accuracy - fp32) / fp32, in %.
    """

    calibration: str
    accuracy: float
    relative: float


class QatResult(Result):
    """A fine-tune, before and after, and its control.

    Attributes:
        fp32: the floating-point model.
        calibration: the calibration that training started from.
        ptq: the quantized model before training.
        qat: the same after training.
        fp32_control: the floating-point model after the same fine-tune; None if it was not asked for.
        calibrations: what the calibrations give without training, where the best was looked for.
        epochs: of the quantized model (`run.epochs`).
        run: the fine-tune.
        control: the control's.
        recipe: how both were done.
        step_seconds: median time of a step of the quantized model.
        fp32_step_seconds: of a step in floating point, on the same batch and device.
        plan: what is quantized.
        sites: names of the sites that are.
        ranges_before: activation → largest magnitude represented, at the start; None for an all-zero tensor.
        ranges: the same after training; equal unless they were learned.
        bounds_before, bounds: the ranges themselves, at the start and after training; empty in results of before
            there were any.
        checkpoint: file name of the trained network, beside the result; None if it was not kept.
        trace: file name of learned ranges and weights along the way, beside the result; None if not kept.
    """

    analysis: Literal["qat"] = "qat"
    params: QatParams
    coverage: Coverage
    metric: Metric
    fp32: Score
    calibration: str
    ptq: Change
    qat: Change
    fp32_control: Change | None
    calibrations: tuple[CalibrationScore, ...]
    epochs: tuple[QatEpoch, ...]
    run: QatRun
    control: QatRun | None
    recipe: QatRecipe
    step_seconds: float
    fp32_step_seconds: float
    plan: Plan
    sites: tuple[str, ...]
    float_sites: dict[str, str]
    ranges_before: dict[str, float | None]
    ranges: dict[str, float | None]
    bounds_before: Bounds = Field(default_factory=dict)
    bounds: Bounds = Field(default_factory=dict)
    checkpoint: str | None = None
    trace: str | None = None
