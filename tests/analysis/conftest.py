"""What tests of fine-tunes share."""

import pytest

from qanalysis.analysis import qat


@pytest.fixture
def few_samples_set_aside(monkeypatch):
    """The 1,024 calibration images are measured after every epoch; a few say as much here."""
    real = qat.Answering

    def few(setup, model, samples, split=None, **more):
        return real(setup, model, samples if split is None else min(samples, 32), split, **more)

    monkeypatch.setattr(qat, "Answering", few)
