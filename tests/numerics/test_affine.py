import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.numerics.affine import operations, terms

CODES = st.integers(-128, 127)
SIZES = st.integers(1, 6)


@given(st.integers(0, 2**32 - 1), SIZES, SIZES, SIZES, CODES, st.booleans())
def test_the_terms_make_up_the_product_without_zero_points(seed, m, p, n, z_x, by_channel):
    random = np.random.default_rng(seed)
    x, w = random.integers(-128, 128, (m, p)), random.integers(-128, 128, (p, n))
    z_w = random.integers(-128, 128, n) if by_channel else int(random.integers(-128, 128))
    found = terms(x, w, z_x, z_w)
    truth = np.zeros((m, n), np.int64)
    for i, j, k in itertools.product(range(m), range(n), range(p)):
        truth[i, j] += (x[i, k] - z_x) * (w[k, j] - (z_w[j] if by_channel else z_w))
    np.testing.assert_array_equal(found.total, truth)
    np.testing.assert_array_equal(found.total_as_printed, truth - 2 * p * z_x * np.broadcast_to(z_w, n))


def test_without_a_zero_point_of_the_weight_nothing_depends_on_the_input_but_the_product():
    x, w = np.array([[3, -7]]), np.array([[2], [5]])
    found = terms(x, w, 11, 0)
    assert found.dot[0, 0] == 3 * 2 - 7 * 5
    assert found.online[0, 0] == 0
    assert found.offline[0] == 11 * (2 + 5)


@given(SIZES, SIZES, SIZES)
def test_operations_are_those_that_loops_do(m, p, n):
    counted = operations(m, p, n)
    assert counted.dot == sum(1 for _ in itertools.product(range(m), range(p), range(n)))
    sums = sum(1 for _ in itertools.product(range(m), range(p)))  # rows of the input
    products = sum(1 for _ in itertools.product(range(m), range(n)))  # times the zero point of each output
    assert counted.online == sums + products
    assert counted.overhead == pytest.approx(100 * (1 / n + 1 / p))


def test_a_depthwise_convolution_pays_more_for_zero_points_than_for_itself():
    assert operations(3136, 9, 1).overhead > 100


def test_sizes_must_be_positive():
    with pytest.raises(ValueError, match="m=0, p=1, n=1"):
        operations(0, 1, 1)
