"""EfficientNet-style network (Tan and Le 2019) for 32x32 images: MBConv blocks, squeeze-excitation, Swish."""

import torch
from torch import nn

# expansion, output channels, repeats, stride of the first block, kernel
_STAGES = ((1, 16, 1, 1, 3), (4, 24, 2, 2, 3), (4, 40, 2, 2, 5), (4, 64, 3, 1, 3), (4, 96, 2, 1, 5), (4, 128, 2, 2, 3))


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate computed from its global mean: `(N, C, H, W)` to the same shape."""

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, reduced, 1)
        self.act = nn.SiLU()
        self.expand = nn.Conv2d(reduced, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.expand(self.act(self.reduce(self.pool(x)))))


class MBConv(nn.Module):
    """Expand 1x1, depthwise k x k, squeeze-excitation, project 1x1, with a shortcut where shapes allow it.

    `(N, C_in, H, W)` to `(N, C_out, H/stride, W/stride)`.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int, kernel: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.shortcut = stride == 1 and in_channels == out_channels
        self.expand = _conv(in_channels, hidden, 1) if expansion != 1 else nn.Identity()
        self.depthwise = _conv(hidden, hidden, kernel, stride, groups=hidden)
        self.se = SqueezeExcitation(hidden, max(1, in_channels // 4))
        self.project = nn.Sequential(nn.Conv2d(hidden, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.project(self.se(self.depthwise(self.expand(x))))
        return x + y if self.shortcut else y


class EfficientNet(nn.Module):
    """Input `(N, 3, H, W)`, output logits `(N, classes)`."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        channels = 16
        self.stem = _conv(3, channels, 3)
        blocks: list[nn.Module] = []
        for expansion, out_channels, repeats, stride, kernel in _STAGES:
            for repeat in range(repeats):
                blocks.append(MBConv(channels, out_channels, stride if repeat == 0 else 1, expansion, kernel))
                channels = out_channels
        self.blocks = nn.Sequential(*blocks)
        self.head = _conv(channels, 512, 1)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(512, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.head(self.blocks(self.stem(x)))
        return self.classifier(self.avgpool(x).flatten(1))


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.SiLU(),
    )


def efficientnet() -> EfficientNet:
    """EfficientNet-style: 12 MBConv blocks, each with squeeze-excitation: 61 convolutions and 1 linear layer."""
    return EfficientNet()
