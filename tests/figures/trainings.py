"""Fine-tunes to draw, made by hand."""

import numpy as np

from qanalysis.figures.qat.accuracy import Course
from qanalysis.schema.results.qat import QatEpoch, QatRecipe, QatStep
from qanalysis.schema.results.trace import BINS_PER_CODE, CODES, Trace, bins

STEPS, PER_EPOCH = 80, 20
RECIPE = QatRecipe(
    optimizer="sgd",
    learning_rate=0.01,
    final_learning_rate=1e-4,
    weight_decay=5e-4,
    label_smoothing=0.1,
    steps=STEPS,
    steps_per_epoch=PER_EPOCH,
    samples=2560,
    batch_size=128,
)
BEFORE = {"conv1": 2.0, "layer.conv": 12.0, "fc": None}


def epoch(number: int, accuracy: float) -> QatEpoch:
    return QatEpoch(
        epoch=number, step=PER_EPOCH * number, validation_accuracy=accuracy, validation_loss=0.5, accuracy=accuracy
    )


def epochs(*accuracies: float) -> tuple[QatEpoch, ...]:
    return tuple(epoch(number, accuracy) for number, accuracy in enumerate(accuracies))


def step(number: int, loss: float = 1.0) -> QatStep:
    rate = 0.01 * (1 - number / (STEPS + 1))
    return QatStep(step=number, epoch=number / PER_EPOCH, loss=loss, learning_rate=rate, images_per_second=200.0)


def course(phase: str = "qat", done: int = STEPS, accuracies: tuple[float, ...] = (65.0, 82.0, 86.0, 88.0, 87.0)):
    steps = tuple(step(number, 1.0 / number) for number in range(1, done + 1))
    return Course(phase, steps, epochs(*accuracies), 3 if len(accuracies) > 3 else None)


COURSES = (course(), course("fp32", accuracies=(91.0, 91.2, 91.1, 91.3, 91.2)))


def trace(rows: int = 5, code: int = 7) -> Trace:
    """Ranges of two tensors that shrink, and the weights of two layers that gather at codes."""
    counts = np.zeros((2, 2, bins()), np.uint32)
    counts[0] = 40
    counts[1, :, ::BINS_PER_CODE] = 40 * BINS_PER_CODE
    outside = np.abs(np.arange(bins()) - CODES * BINS_PER_CODE) > code * BINS_PER_CODE
    counts[:, :, outside] = 0
    made = Trace(tensors=("conv1", "layer.conv"))
    for number in range(rows):
        made = made.with_ranges(number * 20, [2.0 - 0.1 * number, 12.0 + number])
    for number, histograms in enumerate(counts):
        made = made.with_weights(number, {"conv1": (histograms[0], code), "layer.conv": (histograms[1], code)})
    return made
