"""Small networks that tests name as `python:tests.analysis.factories:…`."""

import torch
from torch import nn

from qanalysis import data
from qanalysis.models.loaded import LoadedModel


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * 32 * 32, 10, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.flatten(1))


class Uneven(nn.Module):
    """A convolution whose batch norm has very different scales per channel, as depthwise nets have."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = torch.logspace(-2, 2, 16)
        self.conv = nn.Conv2d(3, 16, 3, padding=1)
        self.bn = nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, 10)
        with torch.no_grad():
            self.bn.weight.copy_(self.scales)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.bn(self.conv(x)).relu().mean((2, 3))
        return self.fc(x / self.scales)


def linear() -> nn.Module:
    torch.manual_seed(0)
    return Linear()


def uneven() -> nn.Module:
    """With a bias that makes all classes about equally likely on CIFAR-10."""
    torch.manual_seed(0)
    network = Uneven().eval()
    images = data.load("sample:cifar10", LoadedModel("uneven", network, False, "")).calibration
    with torch.no_grad():
        network.fc.bias -= network(next(images.batches(256, 256))[0]).mean(0)
    return network


def too_large() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 64), nn.Flatten(), nn.Linear(4, 10))


def dense() -> nn.Module:
    return nn.Conv2d(3, 4, 3)
