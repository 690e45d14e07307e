"""A one-stage detector for scenes: FCOS (Tian et al. 2019) of torchvision on two levels of a ResNet-20."""

from collections import OrderedDict

import torch
from torch import nn
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead
from torchvision.ops import FeaturePyramidNetwork

from qanalysis.models.cifar.features import Features

CHANNELS = 64
STRIDES = (8, 16)
#: Sides that images are resized to: those of scenes.
SIDE = 128


class Pyramid(nn.Module):
    """Feature maps of strides 8 and 16, both of 64 channels: `(N, 3, H, W)` to two of `(N, 64, H/8, W/8)` and half."""

    def __init__(self) -> None:
        super().__init__()
        self.out_channels = CHANNELS
        self.body = Features()
        self.coarse = nn.Sequential(nn.Conv2d(64, CHANNELS, 3, 2, 1, bias=False), nn.BatchNorm2d(CHANNELS), nn.ReLU())
        self.fpn = FeaturePyramidNetwork([64, CHANNELS], CHANNELS)

    def forward(self, x: torch.Tensor) -> OrderedDict[str, torch.Tensor]:
        fine = self.body(x)[-1]
        maps: OrderedDict[str, torch.Tensor] = self.fpn(OrderedDict(fine=fine, coarse=self.coarse(fine)))
        return maps


def detector() -> FCOS:
    """FCOS on a ResNet-20 whose stem takes every second pixel: ten classes, numbered from 1 as torchvision does.

    Input: a list of images `(3, H, W)` in [0, 1]; output: for each, boxes, scores and labels.
    """
    backbone = Pyramid()
    return FCOS(
        backbone,
        num_classes=11,
        min_size=SIDE,
        max_size=SIDE,
        image_mean=[0.4914, 0.4822, 0.4465],
        image_std=[0.2470, 0.2435, 0.2616],
        anchor_generator=AnchorGenerator(tuple((s,) for s in STRIDES), ((1.0,),) * len(STRIDES)),
        head=FCOSHead(CHANNELS, 1, 11, num_convs=2),
        score_thresh=0.05,
        size_divisible=16,
    )
