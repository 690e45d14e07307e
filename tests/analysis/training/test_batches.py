"""Quantization-aware training of what cannot be trained: each is refused in a sentence that says what to do."""

import numpy as np
import pytest

import qanalysis
from qanalysis import models
from qanalysis.analysis import qat
from qanalysis.analysis.measure.progress import silent
from qanalysis.analysis.training import checkpoint
from qanalysis.schema.params.qat import QatParams
from qanalysis.schema.trained import read
from tests.analysis.fine_tunes import SMALL, epochs, npz, one_step, study

pytestmark = pytest.mark.usefixtures("few_samples_set_aside")


def test_a_checkpoint_under_another_architecture_is_refused(tmp_path):
    qat.run(QatParams(**SMALL), silent, tmp_path)
    with pytest.raises(ValueError, match=r"does not fit sample:vit"):
        qanalysis.run("describe", model=f"checkpoint:{tmp_path / qat.CHECKPOINT}?arch=sample:vit")
    described = read(tmp_path / qat.CHECKPOINT)
    network = models.load("sample:resnet20").module
    other = described.model_copy(update={"sites": (*described.sites[1:], "elsewhere")})
    checkpoint.save(tmp_path / "other.safetensors", network, other)
    with pytest.raises(ValueError, match="trained under a plan for another network"):
        qanalysis.run("describe", model=f"checkpoint:{tmp_path / 'other.safetensors'}")


def test_a_sample_that_cannot_be_read_is_not_taken_for_divergence(monkeypatch):
    def broken(self, network, epoch, step):
        if step:
            raise ValueError("sample 3 cannot be read")
        return epochs(50.0)[0]

    monkeypatch.setattr(qat._Study, "measured", broken)
    with pytest.raises(ValueError, match="sample 3 cannot be read"):
        qat.run(QatParams(**SMALL))


def test_memory_that_does_not_suffice_tells_what_fits(monkeypatch):
    given = study()
    network = given.quantized()
    inner = network.forward

    def forward(x):
        if len(x) > 5:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return inner(x)

    monkeypatch.setattr(network, "forward", forward)
    with pytest.raises(ValueError, match=r"16 training samples at once do not fit .*but 4 do: set accumulate to 4"):
        one_step(given, network)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"learning_rate": 0}, "greater than 0"),
        ({"learning_rate": -1e-3}, "greater than 0"),
        ({"steps": 3, "epochs": 2}, "one of epochs, steps and minutes"),
        ({"train_batch_size": 10, "accumulate": 3}, "multiple of accumulate"),
        ({"ranges": "learned", "activation_scheme": "affine"}, "need activation_scheme=scale"),
        ({"ranges": "learned", "plan": None, "calibration": "nonsense"}, "Unknown calibration"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_parameters_out_of_their_domain(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        QatParams(**{**SMALL, **changes})


def test_labels_out_of_range(tmp_path):
    data = npz(tmp_path, y_train=np.full(1100, 10))
    with pytest.raises(ValueError, match="has the label 10, but sample:resnet20 has 10 classes, 0 to 9"):
        qat.run(QatParams(**{**SMALL, "data": data}))


def test_no_labels(tmp_path):
    with pytest.raises(ValueError, match="training needs labels"):
        qat.run(QatParams(**{**SMALL, "data": npz(tmp_path, y_train=None)}))


def test_no_training_samples(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (64, 32, 32, 3), dtype=np.uint8)
    data = npz(tmp_path, x_train=images, y_train=np.arange(64) % 10)
    with pytest.raises(ValueError, match="no training samples"):
        qat.run(QatParams(**{**SMALL, "data": data}))


def test_half_precision_on_the_cpu():
    with pytest.raises(ValueError, match="fp16 needs a GPU"):
        qat.run(QatParams(**{**SMALL, "autocast": "fp16", "device": "cpu"}))
