"""Small networks with what makes export hard, each in a few lines."""

import torch
from torch import nn
from torch.nn import functional as F


class Residual(nn.Module):
    """Convolution, batch norm with negative factors, a skip connection, a grouped convolution, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.block = Block(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.block(F.relu(self.bn(self.stem(x))))
        return self.fc(F.silu(self.depthwise(x)).mean((2, 3)))


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor, skip: torch.Tensor | None = None) -> torch.Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        out += x if skip is None else skip
        return F.relu(out)


class Pooled(nn.Module):
    """A stem with a max pool, a block whose skip connection is a convolution, and one whose skip is nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self.first = Block(8)
        self.down = nn.Conv2d(8, 8, 1, bias=False)
        self.second = Block(8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(F.relu(self.bn(self.stem(x))))
        x = self.second(self.first(x, self.down(x)))
        return self.fc(x.mean((2, 3)))


class Attention(nn.Module):
    """`nn.MultiheadAttention`, whose products PyTorch hides, functional products, and a module that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(12, 16)
        self.norm = nn.LayerNorm(16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.shared = nn.Linear(16, 16)
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x.flatten(2).transpose(1, 2).reshape(x.shape[0], -1, 12))
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        x = self.shared(F.gelu(self.shared(x)))
        return self.head(torch.einsum("btd,dk->btk", x, self.shared.weight).mean(1))


class Odd(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x)


class Unsupported(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.odd = Odd()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.odd(self.conv(x)).mean((2, 3))


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x).mean((2, 3))
        return x if x.sum() > 0 else -x


class DynamicWeight(nn.Module):
    """A convolution whose kernel is computed from the input."""

    def __init__(self) -> None:
        super().__init__()
        self.make = nn.Linear(3, 4 * 3 * 9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kernel = self.make(x.mean((0, 2, 3))).view(4, 3, 3, 3)
        return F.conv2d(x, kernel).mean((2, 3))


class Transposed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 6, 3, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(6)
        self.grouped = nn.ConvTranspose2d(6, 4, 3, groups=2, bias=False)
        self.bn2 = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn2(self.grouped(F.relu(self.bn(self.up(x))))).mean((2, 3))


def prepared(kind: type[nn.Module], seed: int = 0) -> nn.Module:
    """In evaluation mode, with batch norms that have seen something; every third factor is negative, one is zero."""
    torch.manual_seed(seed)
    network = kind()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.3, 2.0)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            with torch.no_grad():
                module.weight[::3] *= -1
                module.weight[1] = 0
    return network.eval()


def images(count: int = 4, side: int = 8, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))
