"""Numbers of sites of published networks (the paper's Table 6 and arithmetic), from one forward at a small size."""

import pytest
import torch
import torchvision
from torch import nn

from qanalysis.nn.observe import coverage


def built(build):
    """A network whose parameters are whatever lies in memory: only shapes matter here."""
    with torch.device("meta"):
        model = build()
    return model.to_empty(device="cpu").eval()


def mobilenet_v1():
    """Howard et al. 2017: a strided stem, then 13 pairs of a depthwise and a pointwise convolution."""
    layers, channels = [nn.Conv2d(3, 32, 3, 2, 1)], 32
    for width, stride in [
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *[(512, 1)] * 5,
        (1024, 2),
        (1024, 1),
    ]:
        layers += [
            nn.Conv2d(channels, channels, 3, stride, 1, groups=channels),
            nn.ReLU(),
            nn.Conv2d(channels, width, 1),
        ]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1024, 1000))


def named(name):
    return lambda: torchvision.models.get_model(name, weights=None)


@pytest.mark.parametrize(
    ("build", "count"),
    [
        pytest.param(mobilenet_v1, 28, id="MobileNet v1"),
        pytest.param(named("mobilenet_v2"), 53, id="MobileNet v2"),
        pytest.param(named("resnet50"), 54, id="ResNet50"),
        pytest.param(named("resnet152"), 156, id="ResNet152"),
        pytest.param(named("resnext50_32x4d"), 54, id="ResNeXt50"),
        pytest.param(named("resnext101_32x8d"), 105, id="ResNeXt101"),
        pytest.param(named("efficientnet_b0"), 82, id="EfficientNet b0"),
        pytest.param(named("efficientnet_b3"), 131, id="EfficientNet b3"),
    ],
)
def test_convolutions_and_linear_layers(build, count):
    found = coverage(built(build), torch.zeros(1, 3, 32, 32))
    assert len(found.sites) == count
    assert {site.kind for site in found.sites} <= {"convolution", "linear"}
    assert found.not_covered == ()
    assert found.sites[-1].kind == "linear"


def test_macs_of_resnet50_are_those_published():
    with torch.device("meta"):
        model = torchvision.models.resnet50().eval()
    assert coverage(model, torch.zeros(1, 3, 224, 224, device="meta")).macs == 4_089_184_256  # torchvision: 4.09 GFLOPS


def test_depthwise_convolutions_of_mobilenet_v1():
    found = coverage(built(mobilenet_v1), torch.zeros(1, 3, 32, 32))
    assert sum(site.depthwise for site in found.sites) == 13


def test_vision_transformer():
    build = lambda: torchvision.models.VisionTransformer(32, 8, 2, 4, 16, 32)  # noqa: E731
    found = coverage(built(build), torch.zeros(2, 3, 32, 32))
    assert [site.name for site in found.sites] == [
        "conv_proj",
        *(
            f"encoder.layers.encoder_layer_{layer}.{name}"
            for layer in range(2)
            for name in (
                *("self_attention:in_proj", "self_attention:matmul_0", "self_attention:matmul_1"),
                *("self_attention.out_proj", "mlp.0", "mlp.3"),
            )
        ),
        "heads.head",
    ]
    assert found.not_covered == ()


def test_layers_that_run_in_training_only_are_reported():
    build = lambda: torchvision.models.googlenet(weights=None, aux_logits=True, init_weights=False)  # noqa: E731
    found = coverage(built(build), torch.zeros(1, 3, 32, 32))
    assert {entry.module.split(".")[0] for entry in found.not_covered} == {"aux1", "aux2"}
    assert {entry.operation for entry in found.not_covered} == {"Conv2d", "Linear"}
    assert len(found.sites) == 58  # 57 convolutions and the classifier
