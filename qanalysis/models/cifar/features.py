"""ResNet-20 as the body of networks that look at scenes."""

from typing import Any

import torch
from torch import nn

from qanalysis.models.cifar.resnet import resnet20


class Features(nn.Module):
    """The three stages of a ResNet-20 whose stem takes every second pixel: maps of strides 2, 4 and 8.

    `(N, 3, H, W)` to maps of 16, 32 and 64 channels. With `dilated`, the third stage keeps stride 4 and spreads its
    kernels instead (Yu & Koltun 2016). Parameters are named as those of `resnet20`.
    """

    def __init__(self, dilated: bool = False) -> None:
        super().__init__()
        network = resnet20()
        network.conv1.stride = (2, 2)
        self.conv1, self.bn1, self.relu = network.conv1, network.bn1, network.relu
        self.layer1, self.layer2, self.layer3 = network.layer1, network.layer2, network.layer3
        if dilated:
            for module in self.layer3.modules():
                if isinstance(module, nn.Conv2d):
                    module.stride = (1, 1)
                    if module.kernel_size == (3, 3):
                        module.dilation, module.padding = (2, 2), (2, 2)
            first: Any = self.layer3[0].conv1
            first.dilation, first.padding = (1, 1), (1, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        fine = self.layer1(self.relu(self.bn1(self.conv1(x))))
        middle = self.layer2(fine)
        return fine, middle, self.layer3(middle)
