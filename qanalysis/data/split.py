"""A split: samples in a fixed order, given to a model in batches and to a person as pixels."""

import copy
import math
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from qanalysis.nn.structure import in_channels_last, leaves, mapped, shapes
from qanalysis.schema.errors import UserError

#: Inputs and targets of some samples, as a task's `collate` makes them; targets are None where there are none.
Batch = tuple[Any, Any]
Sample = tuple[Any, Any]
Collate = Callable[[Sequence[Sample]], Batch]

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
            inputs and targets. Images are `(N, C, H, W)`, normalised float32 in channels_last layout, or a list of
            `(C, H, W)`; class numbers are int64 `(N,)`; targets are None where there are none.

        Raises:
            UserError: if `batch_size` or `limit` is under 1, or not a single sample can be read.
        """
        ...

    def reordered(self, positions: NDArray[np.int64]) -> "Split":
        """The samples at these positions of this split, in this order."""
        ...

    def collated(self, collate: Collate) -> "Split":
        """The same samples, put together by this function where the split has none of its own."""
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
        labels: NDArray[Any] | None,
        mean: Sequence[float],
        std: Sequence[float],
        order: NDArray[np.int64] | None = None,
    ) -> None:
        """Takes the samples as they are.

        Args:
            images: uint8 `(N, H, W, C)`, or `(N, H, W)` for one channel.
            labels: `(N,)` class numbers, or targets of any form `(N, …)`; or None.
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
        end = end_of(len(self), batch_size, limit)
        return (self._batch(self._order[i : min(i + batch_size, end)]) for i in range(0, end, batch_size))

    def reordered(self, positions: NDArray[np.int64]) -> "ArraySplit":
        """See `Split.reordered`."""
        chosen = copy.copy(self)
        chosen._order = self._order[positions]
        return chosen

    def collated(self, collate: Collate) -> "ArraySplit":
        """See `Split.collated`: an array is a batch as it is."""
        return self

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
        if self._labels is None:
            return inputs, None
        targets = self._labels[index]
        return inputs, torch.from_numpy(targets.astype(np.float32 if targets.dtype.kind == "f" else np.int64))


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
        collate: Collate | None = None,
        by_size: bool = False,
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
            collate: makes a batch of samples; that of the task if not given.
            by_size: whether a batch ends where an input of another shape follows, so that none has to be padded.
        """
        self._dataset = dataset
        self._order = range(len(dataset)) if order is None else [int(position) for position in order]
        self._workers = workers
        self._mean, self._std = mean, std
        self._name = name
        self._collate = collate
        self._by_size = by_size
        self._unreadable: dict[int, str] = {}

    def __len__(self) -> int:
        """The number of samples, unreadable ones included."""
        return len(self._order)

    def batches(self, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        """See `Split.batches`; workers read two batches ahead."""
        return self._batches(batch_size, end_of(len(self), batch_size, limit))

    def reordered(self, positions: NDArray[np.int64]) -> "DatasetSplit":
        """See `Split.reordered`; what could not be read is noted with this split, too."""
        chosen = copy.copy(self)
        chosen._order = [int(self._order[position]) for position in positions]
        return chosen

    def collated(self, collate: Collate) -> "DatasetSplit":
        """See `Split.collated`; what could not be read is noted with this split, too."""
        if self._collate is not None:
            return self
        chosen = copy.copy(self)
        chosen._collate = collate
        return chosen

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """See `Split.pixels`: what the model is given, so resized and cropped."""
        position = self._order[index]
        sample = self._read(position)
        if sample is None:
            raise UserError(f"{self._name(position)} could not be read ({self._unreadable[position]}).")
        if not isinstance(sample[0], torch.Tensor) or sample[0].ndim != 3:
            raise UserError(f"{self._name(position)} is no image (C, H, W): it is {shapes(sample[0])}.")
        image = sample[0].to(torch.float32)
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
            if batch and self._by_size and _apart(batch[-1], sample):
                yield self._together(batch)
                batch, empty = [], False
            batch.append(sample)
            if len(batch) == batch_size:
                yield self._together(batch)
                batch, empty = [], False
        if batch:
            yield self._together(batch)
        elif empty:
            position = next(position for position in self._order if position in self._unreadable)
            reason = self._unreadable[position]  # of the first in the split's order, whichever thread met one first
            which = "The only sample cannot" if len(self) == 1 else f"None of the {len(self):,} samples could"
            raise UserError(f"{which} be read; the first is {self._name(position)} ({reason}).")

    def _together(self, batch: list[Sample]) -> Batch:
        return together(batch) if self._collate is None else self._collate(batch)

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
        value, target = item if isinstance(item, tuple | list) and len(item) == 2 else (item, None)
        return self._input(value, position), self._target(target, position)

    def _input(self, value: Any, position: int) -> Any:
        """What the model is given: tensors, those of real numbers in float32, in whatever they are packed.

        Raises:
            UserError: if there is something else, or a tensor of bytes, which is not normalised.
        """
        value = _as_tensors(value)
        found = [tensor for _, tensor in leaves(value)]
        if not found or any(tensor.dtype == torch.uint8 for tensor in found):
            kind = "uint8" if found else type(value).__name__
            raise UserError(
                "a dataset must give (input, target) or input, with inputs that are float tensors (C, H, W), or tuples "
                f"or dictionaries of tensors, but {self._name(position)} is {kind}; convert and normalise it in the "
                "dataset's transform."
            )
        return mapped(lambda tensor: tensor.to(torch.float32) if tensor.is_floating_point() else tensor, value)

    def _target(self, target: Any, position: int) -> Any:
        """A target: class numbers as `int`, real numbers as `float`, arrays as tensors, anything else as it is.

        Raises:
            UserError: for a word, a class number below zero, or a number that is none.
        """
        if isinstance(target, np.ndarray):
            target = torch.from_numpy(target)
        number = isinstance(target, int | float | np.number) or (isinstance(target, torch.Tensor) and target.ndim == 0)
        if not number and not isinstance(target, str | bytes):
            return target
        if number and _is_real(target) and math.isfinite(float(target)):
            return float(target)
        if number and not _is_real(target) and 0 <= int(target) < 2**31:
            return int(target)
        raise UserError(
            f"targets must be class numbers or real numbers, but that of {self._name(position)} is {target!r:.80}."
        )


def _as_tensors(value: Any) -> Any:
    """Arrays and numbers in an input as tensors."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    if isinstance(value, Mapping):
        return {key: _as_tensors(entry) for key, entry in value.items()}
    if isinstance(value, tuple):
        return tuple(_as_tensors(entry) for entry in value)
    return value


def _is_real(target: Any) -> bool:
    """Whether a number has a type for real numbers: 2.0 among values that are learned is no class."""
    return isinstance(target, float | np.floating) or (isinstance(target, torch.Tensor) and target.is_floating_point())


def _apart(one: Sample, other: Sample) -> bool:
    """Whether inputs of different shapes follow one another: they are not padded to one batch."""
    first, second = leaves(one[0]), leaves(other[0])
    return [tensor.shape for _, tensor in first] != [tensor.shape for _, tensor in second]


def end_of(count: int, batch_size: int, limit: int | None) -> int:
    """How many samples to give at most."""
    if count == 0:
        raise UserError("There are no samples.")
    if batch_size < 1:
        raise UserError(f"batch_size >= 1 must hold, but got {batch_size}.")
    if limit is not None and limit < 1:
        raise UserError(f"At least one sample must be asked for, but got limit={limit}.")
    return count if limit is None else min(count, limit)


def lists(samples: Sequence[Sample]) -> Batch:
    """Images and targets as lists, as detectors take them."""
    targets = [target for _, target in samples]
    return [image for image, _ in samples], None if all(target is None for target in targets) else targets


def together(samples: Sequence[Sample]) -> Batch:
    """Samples as one batch, each shape once.

    Raises:
        UserError: if samples have different shapes, or only some have a target.
    """
    inputs = stacked([value for value, _ in samples], "inputs")
    targets = [target for _, target in samples]
    if all(target is None for target in targets):
        return in_channels_last(inputs), None
    if any(target is None for target in targets):
        raise UserError("either all samples or none must have a target.")
    return in_channels_last(inputs), stacked(targets, "targets")


def stacked(values: Sequence[Any], what: str) -> Any:
    """Values of single samples as those of a batch.

    Raises:
        UserError: if their shapes differ.
    """
    first = values[0]
    if isinstance(first, Mapping):
        return {key: stacked([value[key] for value in values], what) for key in first}
    if isinstance(first, tuple):
        return tuple(stacked(list(entries), what) for entries in zip(*values, strict=True))
    if isinstance(first, np.ndarray):
        return stacked([torch.from_numpy(value) for value in values], what)
    if isinstance(first, torch.Tensor):
        different = {tuple(value.shape) for value in values}
        if len(different) > 1:
            one, other = sorted(different)[:2]
            raise UserError(
                f"{what} must have one shape, but some are {one}, others {other}; resize them alike, or give a task "
                "whose collate puts them together."
            )
        return torch.stack(list(values))
    if isinstance(first, bool | int | np.integer):
        return torch.tensor([int(value) for value in values])
    if isinstance(first, float | np.floating):
        return torch.tensor([float(value) for value in values])
    return list(values)
