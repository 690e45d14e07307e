"""Small fine-tunes that tests share."""

import numpy as np

from qanalysis.analysis import qat
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.progress import silent
from qanalysis.analysis.training.loop import Loop
from qanalysis.analysis.training.optimizer import train_mode
from qanalysis.analysis.training.processes import ALONE
from qanalysis.schema.params.qat import QatParams
from qanalysis.schema.results.qat import QatEpoch

SMALL = {
    "model": "sample:resnet20", "calibration": "max", "bits": 4, "calibration_samples": 32, "evaluation_samples": 64,
    "train_samples": 48, "train_batch_size": 16, "steps": 5, "control": False,
}  # fmt: skip


def study(**changes):
    return qat._prepared(QatParams(**{**SMALL, **changes}), silent, Checkpoint(None), None, ALONE)


def one_step(given, network=None):
    """The network after one step, and the batch."""
    loop = Loop(given.quantized() if network is None else network, given.training("qat"))
    train_mode(loop.network, given.params.batch_norm)
    inputs, labels, total = given.batches.of_step(0)
    loop.step(inputs, labels, total)
    return loop.network, inputs, labels


def npz(tmp_path, **arrays):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 255, (1100, 32, 32, 3), dtype=np.uint8)
    labels = generator.integers(0, 10, 1100)
    content = {"x_train": images, "y_train": labels, "x_test": images[:64], "y_test": labels[:64], **arrays}
    path = tmp_path / "data.npz"
    np.savez(path, **{key: value for key, value in content.items() if value is not None})
    return f"npz:{path}"


def epochs(*accuracies, error=0.5):
    return [
        QatEpoch(epoch=n, step=n, validation_accuracy=a, validation_error=error, validation_loss=1.0, accuracy=50.0)
        for n, a in enumerate(accuracies)
    ]
