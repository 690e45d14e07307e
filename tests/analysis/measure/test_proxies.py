"""The proxies on a network where they can be worked out by hand."""

import numpy as np
import pytest
import torch

import qanalysis
from qanalysis.analysis.measure import proxies
from qanalysis.analysis.measure.baseline import measured_baseline
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.progress import silent
from qanalysis.schema.params.accuracy import SensitivityParams
from tests import reference

LINEAR = "python:tests.analysis.factories:linear"
SMALL = {"calibration_samples": 32, "evaluation_samples": 64, "batch_size": 32}


@pytest.fixture(scope="module")
def given():
    return measured_baseline(SensitivityParams(model=LINEAR, **SMALL, bits=6), silent, Checkpoint(None))


def test_weight_error_is_the_oracle_s(given):
    weight = given.setup.model.module.fc.weight.detach().numpy()
    rounded = np.stack([reference.fake_quantize(row, -np.abs(row).max(), np.abs(row).max(), 6) for row in weight])
    expected = np.mean((rounded - weight) ** 2) / np.mean(weight**2)
    assert proxies.weight_errors(given)["fc"] == pytest.approx(expected, rel=1e-4)


def test_output_sqnr_of_the_last_layer_is_that_of_the_logits(given):
    params = SensitivityParams(model=LINEAR, **SMALL, bits=6, proxies=True)
    result = qanalysis.run("sensitivity", **params.model_dump())
    assert proxies.output_sqnr(given)["fc"] == pytest.approx(result.rows[0].sqnr, abs=1e-3)


def test_fisher_predicts_the_divergence_of_a_small_change():
    fine = measured_baseline(
        SensitivityParams(model=LINEAR, calibration_samples=64, evaluation_samples=256), silent, Checkpoint(None)
    )
    measured = qanalysis.run(
        "sensitivity", model=LINEAR, calibration_samples=64, evaluation_samples=256, most_skipped=0
    ).rows[0]
    assert proxies.fisher(fine)["fc"] == pytest.approx(measured.divergence, rel=0.35)


def test_the_model_is_left_without_gradients(given):
    proxies.fisher(given)
    assert all(parameter.grad is None for parameter in given.setup.model.module.parameters())
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("model", ["sample:resnet20@none", "sample:vit@none"])
def test_every_site_has_a_score_or_a_reason(model):
    result = qanalysis.run(
        "sensitivity", model=model, calibration_samples=8, evaluation_samples=16, batch_size=8, bits=4, most_skipped=0
    )
    kinds = {site.name: site.weight_shape for site in result.coverage.sites}
    for proxy in result.proxies:
        assert set(proxy.values) == set(kinds)
        for site, value in proxy.values.items():
            expected = proxy.name != "weight-mse" or kinds[site] is not None
            assert (value is not None) == expected, (proxy.name, site)
        assert proxy.correlation_divergence is None or -1 <= proxy.correlation_divergence <= 1


@pytest.mark.parametrize("batch_size", [1, 7])
def test_fisher_does_not_depend_on_the_batch_size(given, batch_size):
    """Its labels are drawn by the sample's number, and its terms are a sample's own."""
    params = SensitivityParams(model=LINEAR, **{**SMALL, "batch_size": batch_size}, bits=6)
    other = measured_baseline(params, silent, Checkpoint(None))
    assert proxies.fisher(other) == pytest.approx(proxies.fisher(given), rel=1e-4)
