"""A split: samples in a fixed order, given to a model in batches and to a person as pixels."""

import copy
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from qanalysis.schema.errors import UserError

Batch = tuple[torch.Tensor, torch.Tensor | None]
Sample = tuple[torch.Tensor, int | None]

UNREADABLE = (OSError, EOFError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError)
"""What Pillow and file formats raise on a broken file; anything else is a mistake in a dataset's code."""


@runtime_checkable
class Split(Protocol):
    """Samples in a fixed order."""

    def __len__(self) -> int:
        """The number of samples, unreadable ones included."""
        ...

    def batches(self, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        """The first `limit` readable samples (all by default) in the split's order, `batch_size` at a time.

        Yields:
            inputs `(N, C, H, W)`, normalised float32 in channels_last layout, and int64 labels `(N,)`, or None.

        Raises:
            UserError: if `batch_size` or `limit` is under 1, or not a single sample can be read.
        """
        ...

    def reordered(self, positions: NDArray[np.int64]) -> "Split":
        """The samples at these positions of this split, in this order."""
        ...

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """The sample at position `index` of the split for display: uint8 `(H, W, 3)`.

        Raises:
            UserError: if it cannot be read.
        """
        ...

    def readable(self) -> NDArray[np.int64]:
        """Positions of the samples that `batches` gives, in order, as far as is known by now."""
        ...

    @property
    def skipped(self) -> tuple[str, ...]:
        """What to tell about samples that could not be read so far: nothing, or how many, which and why."""
        ...


class ArraySplit:
    """Images that are an array in memory; normalised a batch at a time."""

    skipped: tuple[str, ...] = ()

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.integer] | None,
        mean: Sequence[float],
        std: Sequence[float],
        order: NDArray[np.int64] | None = None,
    ) -> None:
        """Takes the samples as they are.

        Args:
            images: uint8 `(N, H, W, C)`, or `(N, H, W)` for one channel.
            labels: `(N,)`, or None.
            mean: per channel, on pixels in [0, 1].
            std: per channel, likewise.
            order: positions in `images`, if not all of them one after the other.

        Raises:
            UserError: if the numbers of channels, labels or images do not fit.
        """
        self._images = images[..., None] if images.ndim == 3 else images
        channels = self._images.shape[-1]
        if self._images.ndim != 4 or images.dtype != np.uint8:
            raise UserError(f"images must be uint8 (N, H, W, C), but are {images.dtype} {images.shape}.")
        if not len(mean) == len(std) == channels:
            raise UserError(f"mean, std and channels must be as many, but are {len(mean)}, {len(std)}, {channels}.")
        if labels is not None and len(labels) != len(images):
            raise UserError(f"there must be a label for each image, but there are {len(labels)} and {len(images)}.")
        self._labels = labels
        self._order = np.arange(len(images)) if order is None else order
        # as wide as an image: NumPy is slow where the innermost dimension has only the three channels
        shape = self._images.shape[1:]
        self._mean, self._std = (np.broadcast_to(np.array(v, np.float32), shape).copy() for v in (mean, std))

    def __len__(self) -> int:
        """The number of samples."""
        return len(self._order)

    def batches(self, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        """See `Split.batches`."""
        end = _end(len(self), batch_size, limit)
        return (self._batch(self._order[i : min(i + batch_size, end)]) for i in range(0, end, batch_size))

    def reordered(self, positions: NDArray[np.int64]) -> "ArraySplit":
        """See `Split.reordered`."""
        chosen = copy.copy(self)
        chosen._order = self._order[positions]
        return chosen

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """See `Split.pixels`; one channel is shown grey, of more than three the first three."""
        image = self._images[self._order[index]]
        return np.repeat(image[..., :1], 3, axis=2) if image.shape[2] < 3 else image[..., :3]

    def readable(self) -> NDArray[np.int64]:
        """See `Split.readable`: all of them."""
        return np.arange(len(self))

    def _batch(self, index: NDArray[np.int64]) -> Batch:
        values = self._images[index].astype(np.float32)
        values /= np.float32(255)
        values -= self._mean
        values /= self._std
        inputs = torch.from_numpy(values).permute(0, 3, 1, 2)  # memory stays (N, H, W, C): channels_last
        return inputs, None if self._labels is None else torch.from_numpy(self._labels[index].astype(np.int64))


class DatasetSplit:
    """A torch dataset of `(input, target)` or `input`; what cannot be read is left out, counted and reported."""

    def __init__(
        self,
        dataset: Any,
        order: Sequence[int] | NDArray[np.int64] | None = None,
        *,
        workers: int = 0,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        name: Callable[[int], str] = "sample {}".format,
    ) -> None:
        """Takes the samples as the dataset gives them.

        Args:
            dataset: has `__len__` and `__getitem__`.
            order: positions in the dataset, if not all of them one after the other.
            workers: threads that read ahead. Threads, because decoding and resizing images leave Python's lock, and
                processes cost their start on every pass and a copy of every image; 0 if the dataset is not thread-safe.
            mean: with which inputs were normalised, to show them as pixels; if unknown, they are stretched to 0-255.
            std: likewise.
            name: what to call the sample at a position of the dataset when it cannot be read.
        """
        self._dataset = dataset
        self._order = range(len(dataset)) if order is None else [int(position) for position in order]
        self._workers = workers
        self._mean, self._std = mean, std
        self._name = name
        self._unreadable: dict[int, str] = {}

    def __len__(self) -> int:
        """The number of samples, unreadable ones included."""
        return len(self._order)

    def batches(self, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        """See `Split.batches`; workers read two batches ahead."""
        return self._batches(batch_size, _end(len(self), batch_size, limit))

    def reordered(self, positions: NDArray[np.int64]) -> "DatasetSplit":
        """See `Split.reordered`; what could not be read is noted with this split, too."""
        chosen = copy.copy(self)
        chosen._order = [int(self._order[position]) for position in positions]
        return chosen

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """See `Split.pixels`: what the model is given, so resized and cropped."""
        position = self._order[index]
        sample = self._read(position)
        if sample is None:
            raise UserError(f"{self._name(position)} could not be read ({self._unreadable[position]}).")
        image = sample[0].to(torch.float32)
        if image.ndim != 3:
            raise UserError(f"{self._name(position)} is no image (C, H, W): its shape is {tuple(image.shape)}.")
        if self._mean is not None and self._std is not None:
            image = image * torch.tensor(self._std).view(-1, 1, 1) + torch.tensor(self._mean).view(-1, 1, 1)
        else:
            image = (image - image.min()) / (image.max() - image.min()).clamp(min=1e-12)
        image = image[:3] if len(image) >= 3 else image[:1].expand(3, -1, -1)
        shown: NDArray[np.uint8] = (image * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
        return shown

    def readable(self) -> NDArray[np.int64]:
        """See `Split.readable`."""
        places = [place for place, position in enumerate(self._order) if position not in self._unreadable]
        return np.array(places, np.int64)

    @property
    def skipped(self) -> tuple[str, ...]:
        """One sentence, if samples could not be read so far: how many, and which are the first."""
        notes: tuple[str, ...] = getattr(self._dataset, "notes", ())
        if not self._unreadable:
            return notes
        count, of = len(self._unreadable), f"{len(self):,} samples"
        first = sorted(self._unreadable.items())[:5]
        named = "; ".join(f"{self._name(position)} ({reason})" for position, reason in first)
        more = f"; and {count - 5:,} more" if count > 5 else ""
        said = f"{count:,} of {of} could not be read and {'is' if count == 1 else 'are'} left out: {named}{more}."
        return (said, *notes)

    def _batches(self, batch_size: int, limit: int) -> Iterator[Batch]:
        batch: list[Sample] = []
        empty = True
        for sample in self._samples(limit, ahead=2 * batch_size):
            batch.append(sample)
            if len(batch) == batch_size:
                yield _stacked(batch)
                batch, empty = [], False
        if batch:
            yield _stacked(batch)
        elif empty:
            position = next(position for position in self._order if position in self._unreadable)
            reason = self._unreadable[position]  # of the first in the split's order, whichever thread met one first
            which = "The only sample cannot" if len(self) == 1 else f"None of the {len(self):,} samples could"
            raise UserError(f"{which} be read; the first is {self._name(position)} ({reason}).")

    def _samples(self, limit: int, ahead: int) -> Iterator[Sample]:
        """The first `limit` readable samples in order, read ahead by the workers; never more than are asked for."""
        positions = iter(self._order)
        given = 0
        with ThreadPoolExecutor(self._workers) if self._workers else nullcontext() as pool:
            pending: deque[Future[Sample | None]] = deque()
            try:
                while given < limit:
                    if pool is None:
                        position = next(positions, None)
                        if position is None:
                            return
                        sample = self._read(position)
                    else:
                        while len(pending) < min(ahead, limit - given):
                            if (position := next(positions, None)) is None:
                                break
                            pending.append(pool.submit(self._read, position))
                        if not pending:
                            return
                        sample = pending.popleft().result()
                    if sample is not None:
                        given += 1
                        yield sample
            finally:
                for future in pending:
                    future.cancel()

    def _read(self, position: int) -> Sample | None:
        """The sample at a position of the dataset; None, and a note, if it cannot be read."""
        try:
            item = self._dataset[position]
        except UNREADABLE as error:
            self._unreadable[position] = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
            return None
        except Exception as error:
            raise UserError(f"{self._name(position)} failed in the dataset: {type(error).__name__}: {error}") from error
        has_target = isinstance(item, tuple | list) and len(item) == 2
        value, target = item if has_target else (item, None)
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(value)
        if not isinstance(value, torch.Tensor) or value.dtype == torch.uint8:
            kind = "uint8" if isinstance(value, torch.Tensor) else type(value).__name__
            raise UserError(
                f"a dataset must give (input, target) or input, with inputs that are float tensors (C, H, W), "
                f"but {self._name(position)} is {kind}; convert and normalise it in the dataset's transform."
            )
        value = value.to(torch.float32) if value.is_floating_point() else value
        try:
            label = None if target is None else int(target)
            good = label is None or (bool(label == target) and 0 <= label < 2**31)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            label, good = None, False
        if not good:
            raise UserError(f"targets must be class numbers, but that of {self._name(position)} is {target!r:.80}.")
        return value, label


def _end(count: int, batch_size: int, limit: int | None) -> int:
    """How many samples to give at most."""
    if count == 0:
        raise UserError("There are no samples.")
    if batch_size < 1:
        raise UserError(f"batch_size >= 1 must hold, but got {batch_size}.")
    if limit is not None and limit < 1:
        raise UserError(f"At least one sample must be asked for, but got limit={limit}.")
    return count if limit is None else min(count, limit)


def _stacked(samples: list[Sample]) -> Batch:
    shapes = {tuple(value.shape) for value, _ in samples}
    if len(shapes) > 1:
        first, second = sorted(shapes)[:2]
        raise UserError(f"inputs must have one shape, but some are {first}, others {second}; resize them alike.")
    inputs = torch.stack([value for value, _ in samples])
    if inputs.ndim == 4:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    targets = [target for _, target in samples if target is not None]
    if targets and len(targets) < len(samples):
        raise UserError("either all samples or none must have a target.")
    return inputs, torch.tensor(targets, dtype=torch.int64) if targets else None
