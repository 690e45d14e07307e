"""The PTQ grid against a straight calculation, and on data without labels."""

import numpy as np
import pytest
import torch

import qanalysis
from qanalysis import data, models
from qanalysis.analysis.weights import channel_extents

NETWORK = "sample:resnet20@none"


def test_max_ptq_equals_fake_quantizing_by_hand():
    """One linear layer: the grid's accuracy is that of rounded inputs times rounded weights."""
    result = qanalysis.run(
        "ptq", model="python:tests.analysis.factories:linear", calibrations=("max",), bits=3,
        calibration_samples=64, evaluation_samples=200, batch_size=50,
    )  # fmt: skip
    model = models.load("python:tests.analysis.factories:linear")
    loaded = data.load("sample:cifar10", model)
    calibration = torch.cat([x for x, _ in loaded.calibration.batches(64, 64)]).flatten(1)
    batches = list(loaded.evaluation.batches(200, 200))
    x, labels = batches[0][0].flatten(1), batches[0][1]
    alpha = float(calibration.abs().max())
    weight = model.module.fc.weight.detach()
    w_alpha = weight.abs().amax(1, keepdim=True)
    xq = torch.clamp(torch.round(x * (3 / alpha)), -3, 3) * (alpha / 3)
    wq = torch.clamp(torch.round(weight * (3 / w_alpha)), -3, 3) * (w_alpha / 3)
    expected = 100 * float(((xq @ wq.T).argmax(1) == labels).float().mean())
    assert result.ranges["max"]["fc"] == alpha
    assert result.rows[0].accuracy == pytest.approx(expected, abs=0.51)  # one image may sit on a rounding tie


def test_fp32_is_that_of_the_plain_model():
    result = qanalysis.run("ptq", model=NETWORK, calibrations=("max",), calibration_samples=8, evaluation_samples=100)
    model = models.load(NETWORK)
    loaded = data.load("sample:cifar10", model)
    with torch.no_grad():
        hits = [(model.module(x).argmax(1) == y).numpy() for x, y in loaded.evaluation.batches(50, 100)]
    assert result.fp32 == pytest.approx(100 * np.concatenate(hits).mean())


def test_data_without_labels_measures_agreement(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x_train=images[:20], x_test=images[20:])
    result = qanalysis.run("ptq", model=NETWORK, data=f"npz:{tmp_path / 'images.npz'}", calibrations=("max",), bits=4)
    assert result.metric == "agreement"
    assert result.fp32 == 100
    assert result.rows[0].accuracy == result.rows[0].agreement
    assert result.rows[0].sqnr is not None


def test_random_weights_are_marked():
    result = qanalysis.run("evaluate", model=NETWORK, evaluation_samples=10)
    assert not result.model.trained
    assert any("random weights" in warning for warning in result.warnings)


def test_folding_ruins_per_tensor_weights_and_per_channel_survives(tmp_path):
    """The paper's Table 3, on a net whose batch norm scales channels very differently."""
    evaluation = data.load("sample:cifar10", models.load(NETWORK)).evaluation
    images = np.stack([evaluation.pixels(index) for index in range(200)])
    np.savez(tmp_path / "images.npz", x_train=images[:4], x_test=images)
    network, source = "python:tests.analysis.factories:uneven", f"npz:{tmp_path / 'images.npz'}"
    result = qanalysis.run("weights", model=network, data=source)
    rows = {(row.granularity, row.folded): row.accuracy for row in result.rows}
    assert len(rows) == 4
    assert result.metric == "agreement"
    assert rows["per-channel", True] > 95
    assert rows["per-tensor", True] < rows["per-channel", True] - 5


def test_channel_extents_are_those_of_the_weights():
    model = models.load("python:tests.analysis.factories:uneven")
    example = torch.randn(2, 3, 32, 32)
    assert channel_extents(model.module, example)["conv"] == pytest.approx(
        model.module.conv.weight.detach().abs().amax((1, 2, 3)).tolist()
    )


def test_a_model_that_does_not_fit_the_data_is_named():
    with pytest.raises(ValueError, match=r"fails on inputs of shape \(1, 3, 32, 32\)"):
        qanalysis.run("evaluate", model="python:tests.analysis.factories:too_large")


def test_a_model_without_logits_is_refused():
    with pytest.raises(ValueError, match=r"logits of shape \(N, classes\)"):
        qanalysis.run("evaluate", model="python:tests.analysis.factories:dense")


def test_an_unknown_analysis_is_named():
    with pytest.raises(ValueError, match="Unknown analysis 'guess'; choose from describe"):
        qanalysis.run("guess")


def test_affine_ranges_are_told_with_both_ends():
    shared = {"model": "sample:resnet20@none", "calibration_samples": 16, "calibrations": ("max",)}
    calibrated = qanalysis.run("calibrate", **shared, activation_scheme="affine")
    quantized = qanalysis.run("ptq", **shared, activation_scheme="affine", evaluation_samples=16)
    assert calibrated.bounds == quantized.bounds
    low, high = calibrated.bounds["max"]["layer1.0.conv1"]  # behind a ReLU
    assert (low, high) == (0.0, calibrated.ranges["max"]["layer1.0.conv1"])
    low, high = calibrated.bounds["max"]["conv1"]  # the image, around its mean
    assert low < -1 < 1 < high
