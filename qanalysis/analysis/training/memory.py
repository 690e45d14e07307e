"""Memory: whether an error means that it ran out, and how many training samples would have fitted."""

import math

import torch
from torch import nn
from torch.nn import functional

from qanalysis.task import logits


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or on the CPU."""
    text = str(error)
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def what_fits(network: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, accumulate: int) -> str:
    """A sentence with the number of samples that fit into memory, found by trying halves.

    Args:
        network: in training mode.
        inputs: this process's part of a batch, which did not fit.
        labels: likewise.
        accumulate: in so many parts.
    """
    size = len(inputs) // accumulate
    fits = size // 2
    while fits:
        try:
            network.zero_grad(set_to_none=True)
            if inputs.device.type == "cuda":
                torch.cuda.empty_cache()
            functional.cross_entropy(logits(network(inputs[:fits])).float(), labels[:fits]).backward()
            break
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        fits //= 2
    if not fits:
        return f"A single training sample does not fit into the memory of {inputs.device}; use a smaller model."
    parts = math.ceil(len(inputs) / fits)
    return (
        f"{size} training samples at once do not fit into the memory of {inputs.device}, but {fits} do: set "
        f"accumulate to {parts}, which gives the same steps, or train_batch_size to {fits}."
    )
