"""Memory: whether an error means that it ran out, and how many training samples would have fitted."""

import math
from collections.abc import Callable

import torch
from torch import nn


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or on the CPU."""
    text = str(error)
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def what_fits(
    network: nn.Module, samples: int, device: torch.device, accumulate: int, loss: Callable[[int], torch.Tensor]
) -> str:
    """A sentence with the number of samples that fit into memory, found by trying halves.

    Args:
        network: in training mode.
        samples: this process's part of a batch, which did not fit.
        device: where.
        accumulate: in so many parts.
        loss: of the first so many samples.
    """
    size = samples // accumulate
    fits = size // 2
    while fits:
        try:
            network.zero_grad(set_to_none=True)
            if device.type == "cuda":
                torch.cuda.empty_cache()
            loss(fits).backward()
            break
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        fits //= 2
    if not fits:
        return f"A single training sample does not fit into the memory of {device}; use a smaller model."
    parts = math.ceil(samples / fits)
    return (
        f"{size} training samples at once do not fit into the memory of {device}, but {fits} do: set "
        f"accumulate to {parts}, which gives the same steps, or train_batch_size to {fits}."
    )
