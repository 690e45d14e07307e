"""A segmenter for scenes: a fully convolutional network with an auxiliary head on a dilated ResNet-20."""

from collections import OrderedDict

import torch
from torch import nn
from torchvision.models.segmentation import FCN

from qanalysis.models.cifar.features import Features

CLASSES = 11
"""Ten kinds of object, numbered from 1, and the ground, 0."""


class Maps(nn.Module):
    """Two maps of stride 4, named as torchvision names them: `out` of 64 channels, `aux` of 32."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Features(dilated=True)

    def forward(self, x: torch.Tensor) -> OrderedDict[str, torch.Tensor]:
        _, middle, deep = self.body(x)
        return OrderedDict(out=deep, aux=middle)


def segmenter() -> FCN:
    """FCN on a ResNet-20 whose stem takes every second pixel and whose third stage is dilated, with an auxiliary head.

    Input `(N, 3, H, W)`, normalised; output: a dict of `out` and `aux`, each `(N, 11, H, W)` of scores.
    """
    return FCN(Maps(), _head(64, 64), _head(32, 16))


def _head(channels: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 3, padding=1, bias=False),
        nn.BatchNorm2d(hidden),
        nn.ReLU(),
        nn.Conv2d(hidden, CLASSES, 1),
    )
