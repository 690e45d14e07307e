"""Relative change of an accuracy."""

import pytest

from qanalysis.numerics.change import relative


@pytest.mark.parametrize(
    ("accuracy", "fp32", "expected"),
    [(71.52, 71.88, -0.5008), (72.06, 76.85, -6.2329), (0.0, 50.0, -100.0), (10.0, 0.0, 0.0), (0.0, 0.0, 0.0)],
)
def test_is_a_share_of_fp32(accuracy, fp32, expected):
    """The first is MobileNet v1's best in Table 5, the second EfficientNet b0's in Table 7."""
    assert relative(accuracy, fp32) == pytest.approx(expected, abs=1e-4)
