"""MobileNet v2 (Sandler et al. 2018) for 32x32 images: inverted residuals with depthwise convolutions and ReLU6."""

import torch
from torch import nn

# expansion, output channels, repeats, stride of the first block
_STAGES = ((1, 8, 1, 1), (6, 16, 2, 2), (6, 24, 3, 1), (6, 32, 4, 2), (6, 48, 3, 1), (6, 80, 3, 2), (6, 160, 1, 1))


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise 3x3, project 1x1, with a shortcut where shapes allow it.

    `(N, C_in, H, W)` to `(N, C_out, H/stride, W/stride)`.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.shortcut = stride == 1 and in_channels == out_channels
        self.expand = _conv(in_channels, hidden, 1) if expansion != 1 else nn.Identity()
        self.depthwise = _conv(hidden, hidden, 3, stride, groups=hidden)
        self.project = nn.Sequential(nn.Conv2d(hidden, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.shortcut else y


class MobileNetV2(nn.Module):
    """Input `(N, 3, H, W)`, output logits `(N, classes)`."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        channels = 16
        self.stem = _conv(3, channels, 3)
        blocks: list[nn.Module] = []
        for expansion, out_channels, repeats, stride in _STAGES:
            for repeat in range(repeats):
                blocks.append(InvertedResidual(channels, out_channels, stride if repeat == 0 else 1, expansion))
                channels = out_channels
        self.blocks = nn.Sequential(*blocks)
        self.head = _conv(channels, 640, 1)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(640, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.head(self.blocks(self.stem(x)))
        return self.classifier(self.avgpool(x).flatten(1))


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(),
    )


def mobilenet_v2() -> MobileNetV2:
    """MobileNet v2 at half width: 52 convolutions (17 depthwise) and 1 linear layer, 0.6 M parameters."""
    return MobileNetV2()
