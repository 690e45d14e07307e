"""An independent fine-tune: a network's layers patched to quantize by clamp and round, as a plain PyTorch loop would.

Nothing here imports the library.
"""

import torch
from torch import nn
from torch.nn import functional


def straight_through(x, step):
    """Rounded to multiples of `step`, with a gradient of one."""
    return x + ((x / step).round() * step - x).detach()


def quantized(network: nn.Module, amaxes: dict[str, float], bits: int) -> nn.Module:
    """Patches every convolution and linear layer in place: inputs clipped at its amax, weights per channel by max.

    Args:
        network: its layers are named by the keys of `amaxes`.
        amaxes: largest magnitude of each layer's input.
        bits: of weights and activations.
    """
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.forward = _forward(module, amaxes[path], 2 ** (bits - 1) - 1)
    return network


def _forward(module, amax, top):
    def forward(x):
        weight = module.weight
        largest = weight.detach().abs().flatten(1).amax(1).view(-1, *[1] * (weight.ndim - 1))
        x = straight_through(x.clamp(-amax, amax), amax / top)
        weight = straight_through(weight, largest / top)
        if isinstance(module, nn.Linear):
            return functional.linear(x, weight, module.bias)
        return functional.conv2d(x, weight, module.bias, module.stride, module.padding, groups=module.groups)

    return forward


def train(network, batches, rates, momentum=0.9):
    """SGD with momentum over batches of (inputs, labels), one learning rate each."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0, momentum=momentum)
    for (inputs, labels), rate in zip(batches, rates, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(network(inputs), labels).backward()
        optimizer.step()
