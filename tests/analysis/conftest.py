"""What tests of fine-tunes share."""

import pytest

from qanalysis.analysis import qat


@pytest.fixture
def few_samples_set_aside(monkeypatch):
    """The 1,024 calibration images are measured after every epoch; a few say as much here."""
    real = qat.answers

    def few(task, model, samples, *rest, split=None, **more):
        return real(task, model, min(samples, 32) if split is not None else samples, *rest, split=split, **more)

    monkeypatch.setattr(qat, "answers", few)
