"""Counted nouns."""

import pytest

from qanalysis.insight.words import counted


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 layers"), (1, "1 layer"), (2, "2 layers"), (1024, "1,024 layers")]
)
def test_one_has_no_s(number, expected):
    assert counted(number, "layer") == expected
