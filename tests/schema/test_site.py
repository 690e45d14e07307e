"""Names of tensors, and what a site says about itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.schema.site import Coverage, Site, TensorId


def convolution(input_shape, weight_shape, kind="convolution"):
    return Site(name="conv", kind=kind, macs=7, roles=("input",), input_shape=input_shape, weight_shape=weight_shape)


@pytest.mark.parametrize(
    ("tensor", "key"),
    [
        (TensorId("layer1.0.conv2", "input"), "layer1.0.conv2"),
        (TensorId("attn:matmul_0", "left"), "attn:matmul_0/left"),
        (TensorId("attn:matmul_0", "right"), "attn:matmul_0/right"),
        (TensorId("stage/conv", "input"), "stage/conv"),  # converted models may have slashes in their names
    ],
)
def test_key(tensor, key):
    assert str(tensor) == key
    assert TensorId.parse(key) == tensor


@given(st.text("ab.:_/0", min_size=1), st.sampled_from(["input", "left", "right"]))
def test_parse_is_the_inverse_of_str(site, role):
    assert TensorId.parse(str(TensorId(site, role))) == (site, role)


@pytest.mark.parametrize(
    ("input_shape", "weight_shape", "depthwise"),
    [
        ((1, 16, 8, 8), (16, 1, 3, 3), True),
        ((1, 16, 8, 8), (16, 2, 3, 3), False),
        ((1, 16, 8, 8), (32, 16, 1, 1), False),
        ((1, 1, 8, 8), (1, 1, 3, 3), False),
        ((1, 1, 8, 8), (8, 1, 3, 3), False),
        ((1, 16), None, False),
    ],
)
def test_depthwise(input_shape, weight_shape, depthwise):
    assert convolution(input_shape, weight_shape).depthwise is depthwise


def test_only_convolutions_are_depthwise():
    assert not convolution((1, 16, 8, 8), (16, 1, 3, 3), "transposed convolution").depthwise


def test_tensors_are_the_activation_operands():
    site = Site(name="a:matmul_0", kind="matrix product", macs=1, roles=("left", "right"), input_shape=(1, 2, 2))
    assert site.tensors == (TensorId("a:matmul_0", "left"), TensorId("a:matmul_0", "right"))


def test_coverage_adds_up_the_work():
    site = convolution((1, 1, 8, 8), (8, 1, 3, 3))
    assert Coverage(sites=(site, site)).macs == 14
