"""Words of sentences and labels."""

import pytest

from qanalysis.insight.words import calibration_label, counted


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 layers"), (1, "1 layer"), (2, "2 layers"), (1024, "1,024 layers")]
)
def test_one_has_no_s(number, expected):
    assert counted(number, "layer") == expected


@pytest.mark.parametrize(
    ("name", "label"),
    [("max", "max"), ("entropy", "entropy"), ("mse", "MSE"), ("percentile:99.99", "99.99 %"), ("custom", "custom")],
)
def test_a_calibration_has_a_label(name, label):
    assert calibration_label(name) == label
