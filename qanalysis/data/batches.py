"""A split made of batches: what a `DataLoader`, or anything that can be iterated, gives, read once."""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qanalysis.data.split import Batch, Collate, end_of
from qanalysis.nn.structure import count, in_channels_last, leaves, mapped, part
from qanalysis.schema.errors import UserError

#: Bytes of batches that are kept in memory; beyond that they go to a temporary folder.
MEMORY = 2**30


class BatchesSplit:
    """Samples that came in batches: they are given in batches as large, or in smaller ones.

    Batches are not put together, since what pads them differs from batch to batch.

    Args:
        batches: inputs and targets, or inputs alone.
        name: what to call them in sentences.
        memory: bytes to keep; what is more is written to a temporary folder.

    Raises:
        UserError: if there is none, or something else than a batch among them.
    """

    def __init__(self, batches: Iterable[Any], name: str = "the loader", memory: int = MEMORY) -> None:
        self._name = name
        self._kept: list[Batch | Path] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._bytes = 0
        sizes = []
        for number, value in enumerate(batches):
            batch = _batch(value, name, number)
            sizes.append(count(batch[0]))
            self._keep(batch, memory)
        if not sizes:
            raise UserError(f"{name} gave no batch: is it an iterator that was used up?")
        self._starts = np.concatenate([[0], np.cumsum(sizes)])
        self._order = np.arange(self._starts[-1])

    skipped: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """Where the samples are, as a sentence."""
        where = "into memory" if self._folder is None else "and spilled to a temporary folder"
        return f"{self._name} was read once {where} ({len(self):,} samples, {self._bytes / 1e6:,.0f} MB)."

    def __len__(self) -> int:
        """The number of samples."""
        return len(self._order)

    def batches(self, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        """See `Split.batches`; none is larger than what came."""
        end = end_of(len(self), batch_size, limit)
        return self._batches(batch_size, end)

    def reordered(self, positions: NDArray[np.int64]) -> "BatchesSplit":
        """See `Split.reordered`."""
        chosen = object.__new__(BatchesSplit)
        chosen.__dict__ |= self.__dict__
        chosen._order = self._order[positions]
        return chosen

    def collated(self, collate: Collate) -> "BatchesSplit":
        """See `Split.collated`: they are put together already."""
        return self

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """See `Split.pixels`: the input stretched to 0-255."""
        inputs, _ = self._sample(int(self._order[index]))
        image = inputs[0] if isinstance(inputs, list) else inputs
        if not isinstance(image, torch.Tensor) or image.ndim not in (3, 4):
            raise UserError(f"sample {index} of {self._name} is no image.")
        image = (image[0] if image.ndim == 4 else image).float()
        image = (image - image.min()) / (image.max() - image.min()).clamp(min=1e-12)
        image = image[:3] if len(image) >= 3 else image[:1].expand(3, -1, -1)
        shown: NDArray[np.uint8] = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        return shown

    def readable(self) -> NDArray[np.int64]:
        """See `Split.readable`: all of them."""
        return np.arange(len(self))

    def _keep(self, batch: Batch, memory: int) -> None:
        size = sum(tensor.nbytes for _, tensor in leaves(batch))
        self._bytes += size
        if self._bytes <= memory:
            self._kept.append(batch)
            return
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="qanalysis-batches-")
        path = Path(self._folder.name) / f"{len(self._kept)}.pt"
        torch.save(batch, path)
        self._kept.append(path)

    def _batches(self, batch_size: int, end: int) -> Iterator[Batch]:
        order = self._order[:end]
        place = 0
        while place < len(order):
            number = int(np.searchsorted(self._starts, order[place], side="right")) - 1
            stop = place + 1
            last = self._starts[number + 1]
            while stop < len(order) and stop - place < batch_size and order[stop - 1] + 1 == order[stop] < last:
                stop += 1
            first = int(order[place] - self._starts[number])
            yield self._part(number, slice(first, first + stop - place))
            place = stop

    def _sample(self, position: int) -> Batch:
        number = int(np.searchsorted(self._starts, position, side="right")) - 1
        first = int(position - self._starts[number])
        return self._part(number, slice(first, first + 1))

    def _part(self, number: int, chosen: slice) -> Batch:
        kept = self._kept[number]
        inputs, targets = torch.load(kept, weights_only=True) if isinstance(kept, Path) else kept
        return part(inputs, chosen), None if targets is None else part(targets, chosen)


def _batch(value: Any, name: str, number: int) -> Batch:
    """Inputs and targets of what a loader gave: a pair, or inputs alone."""
    pair = isinstance(value, list | tuple) and len(value) == 2
    inputs, targets = value if pair else (value, None)
    if isinstance(inputs, list) and not all(isinstance(one, torch.Tensor) and one.ndim == 3 for one in inputs):
        inputs = tuple(inputs)  # as PyTorch collates several inputs
    found = [tensor for _, tensor in leaves(inputs)]
    if not found:
        raise UserError(
            f"{name} must give batches (inputs, targets) or inputs, of tensors, but number {number} is "
            f"{type(value).__name__}."
        )
    if any(tensor.dtype == torch.uint8 for tensor in found):
        raise UserError(f"{name} gives uint8 inputs: convert and normalise them in the dataset's transform.")
    inputs = mapped(lambda tensor: tensor.float() if tensor.is_floating_point() else tensor, inputs)
    return in_channels_last(inputs), targets
