"""A split that is not loaded before it is used."""

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qanalysis.data.split import Batch, Collate, Split


class DeferredSplit:
    """A split whose samples are loaded when first asked for."""

    def __init__(self, count: int, load: Callable[[], Split]) -> None:
        """Takes the number of samples, and a function that loads them."""
        self._count = count
        self._load = load

    def __len__(self) -> int:
        """The number of samples."""
        return self._count

    def batches(self, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        """See `Split.batches`."""
        return self._split.batches(batch_size, limit)

    def reordered(self, positions: NDArray[np.int64]) -> Split:
        """See `Split.reordered`; loads the samples."""
        return self._split.reordered(positions)

    def collated(self, collate: Collate) -> "DeferredSplit":
        """See `Split.collated`."""
        return DeferredSplit(self._count, lambda: self._split.collated(collate))

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """See `Split.pixels`."""
        return self._split.pixels(index)

    def readable(self) -> NDArray[np.int64]:
        """See `Split.readable`; loads the samples."""
        return self._split.readable()

    @property
    def skipped(self) -> tuple[str, ...]:
        """See `Split.skipped`."""
        return self._split.skipped if "_split" in vars(self) else ()

    @cached_property
    def _split(self) -> Split:
        return self._load()
