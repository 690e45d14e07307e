"""A split: samples in a fixed order, given to a model in batches and to a person as pixels."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch


class Split(Protocol):
    """Samples in a fixed order."""

    def __len__(self) -> int:
        """The number of samples."""
        ...

    def batches(self, batch_size: int, limit: int | None = None) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        """The first `limit` samples (all by default) in the split's order, `batch_size` at a time.

        Yields:
            inputs `(N, C, H, W)`, normalised float32 in channels_last layout, and int64 labels `(N,)`, or None.

        Raises:
            ValueError: if `batch_size` or `limit` is under 1, or not a single sample can be read.
        """
        ...

    def pixels(self, index: int) -> np.ndarray:
        """Sample number `index` for display: uint8 `(H, W, 3)`.

        Raises:
            ValueError: if it cannot be read.
        """
        ...

    @property
    def skipped(self) -> tuple[str, ...]:
        """A sentence about each sample that could not be read so far."""
        ...
