"""Trace: learned ranges and weights on their way through a fine-tune, in one file that a page can read any time."""

import json
import zipfile
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qanalysis.schema.errors import UserError
from qanalysis.schema.writing import whole

FORMAT = "qanalysis-trace-1"
#: Bins of the weights' histogram for each code, and codes on each side of zero that are shown.
BINS_PER_CODE, CODES = 16, 8
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, eq=False)
class Trace:
    """What changes while a network trains.

    Attributes:
        tensors: keys of the activations whose range is learned.
        steps: `(K,)` steps at which ranges were noted.
        ranges: `(K, T)` largest magnitude represented of each tensor at these steps.
        sites: sites with a quantized weight.
        codes: `(S,)` largest code of each site's weight.
        epochs: `(E,)` epochs after which weights were noted; 0 is before training.
        weights: `(E, S, B)` histograms of weight / step: bins of 1/16 code from -8 to 8, centred on the codes.
    """

    tensors: tuple[str, ...] = ()
    steps: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    ranges: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    sites: tuple[str, ...] = ()
    codes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    epochs: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    weights: NDArray[np.uint32] = field(default_factory=lambda: np.zeros((0, 0, bins()), np.uint32))

    def with_ranges(self, step: int, values: list[float]) -> "Trace":
        """This trace with the ranges after one more step."""
        row = np.array([values], np.float32)
        ranges = np.concatenate([self.ranges, row]) if len(self.steps) else row
        return replace(self, steps=np.append(self.steps, step), ranges=ranges)

    def with_weights(self, epoch: int, histograms: dict[str, tuple[NDArray[np.int64], int]]) -> "Trace":
        """This trace with the weights after one more epoch: by site, the histogram and the largest code.

        Only the first and the last few epochs are kept, so that the file stays small.
        """
        rows = np.array([[histogram for histogram, _ in histograms.values()]], np.uint32)
        kept = slice(None) if len(self.epochs) < _EPOCHS else np.r_[0, 2 : len(self.epochs)]
        weights = np.concatenate([self.weights[kept], rows]) if len(self.epochs) else rows
        return replace(
            self,
            sites=tuple(histograms),
            codes=np.array([code for _, code in histograms.values()], np.int64),
            epochs=np.append(self.epochs[kept], epoch),
            weights=weights,
        )

    def save(self, path: Path) -> None:
        """Writes one compressed .npz, whole or not at all."""
        header = json.dumps({"format": FORMAT, "tensors": self.tensors, "sites": self.sites})
        with whole(path) as partial, partial.open("wb") as file:
            np.savez_compressed(
                file,
                allow_pickle=False,
                header=np.frombuffer(header.encode(), np.uint8),
                steps=self.steps,
                ranges=self.ranges,
                codes=self.codes,
                epochs=self.epochs,
                weights=self.weights,
            )

    @classmethod
    def load(cls, path: Path) -> "Trace":
        """Reads what `save` wrote.

        Raises:
            UserError: if the file is missing, damaged or something else.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                header = json.loads(arrays["header"].tobytes())
                if header["format"] != FORMAT:
                    raise UserError(f"format {header['format']!r} is not {FORMAT!r}")
                names = ("steps", "ranges", "codes", "epochs", "weights")
                return cls(
                    tensors=tuple(header["tensors"]),
                    sites=tuple(header["sites"]),
                    **{name: arrays[name] for name in names},
                )
        except _UNREADABLE as error:
            raise UserError(f"{path} is not a trace of a fine-tune ({error})") from None


_EPOCHS = 12


def bins() -> int:
    """Bins of a histogram of weights."""
    return 2 * CODES * BINS_PER_CODE + 1


def positions() -> NDArray[np.float64]:
    """`(B,)` middle of each bin, in codes."""
    return np.arange(-CODES * BINS_PER_CODE, CODES * BINS_PER_CODE + 1) / BINS_PER_CODE
