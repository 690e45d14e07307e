"""Observations: the histogram of every activation from one pass over the data, and the file they are kept in."""

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qanalysis.numerics.calibrate import Calibration, Trained, parse
from qanalysis.numerics.histogram import BINS, Histogram
from qanalysis.numerics.spec import QuantizerSpec, Range
from qanalysis.schema.errors import UserError
from qanalysis.schema.plan import Plan
from qanalysis.schema.site import Coverage, TensorId
from qanalysis.schema.writing import whole

FORMAT = "qanalysis-observations-1"

#: What NumPy, zip and JSON raise on a file that is damaged or something else.
_UNREADABLE = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error),
    *(KeyError, IndexError, TypeError, AttributeError, ValueError),
)


@dataclass(frozen=True)
class RangeTable:
    """The range of every observed activation under one calibration; None where a tensor was all zero."""

    calibration: str
    ranges: Mapping[TensorId, Range | None]

    def unranged_sites(self) -> tuple[str, ...]:
        """Sites with an all-zero operand: they stay in floating point."""
        return tuple(dict.fromkeys(tensor.site for tensor, range_ in self.ranges.items() if range_ is None))


def ends(table: RangeTable) -> dict[str, tuple[float, float] | None]:
    """The ranges of a table by the tensor's key, for JSON: (beta, alpha), or None."""
    return {str(t): None if range_ is None else (range_.beta, range_.alpha) for t, range_ in table.ranges.items()}


def table_of(ranges: Mapping[str, Sequence[float] | None], calibration: str) -> RangeTable:
    """The table that `ends` made these of.

    Raises:
        UserError: if a range is none.
    """
    given = {TensorId.parse(key): None if two is None else Range(*two) for key, two in ranges.items()}
    return RangeTable(calibration, given)


@dataclass(frozen=True)
class Growth:
    """Where the values reached to after some of the samples.

    Attributes:
        samples: samples seen by then.
        amax: activation → largest magnitude.
        tail: activation → its 99.99 % point.
    """

    samples: int
    amax: Mapping[str, float]
    tail: Mapping[str, float]


@dataclass(frozen=True)
class Observations:
    """What one pass over the calibration data saw.

    Attributes:
        histograms: by tensor, every activation operand of every site.
        coverage: the sites, and what was not covered.
        samples: number of samples seen.
        trained: the ranges that the model was fine-tuned with, if it was (calibration `trained`).
        growth: how far the values reached along the way, to see whether more samples would change the ranges.
    """

    histograms: Mapping[TensorId, Histogram]
    coverage: Coverage
    samples: int
    trained: RangeTable | None = None
    growth: tuple[Growth, ...] = ()

    def ranges(self, calibration: Calibration, plan: Plan | None = None) -> RangeTable:
        """Calibrates every tensor (section 3.4) for the bits and scheme that the plan gives its site.

        Raises:
            UserError: if a calibration cannot be had from what was observed.
        """
        plan = plan or Plan()
        try:
            ranges = {tensor: self.range(tensor, calibration, plan) for tensor in self.histograms}
        except ValueError as error:  # of a calibration, which knows no errors but Python's
            raise UserError(str(error)) from None
        return RangeTable(str(calibration), ranges)

    def range(self, tensor: TensorId, calibration: Calibration, plan: Plan) -> Range | None:
        """Calibrates one tensor, with the calibration that the plan names for its site, if it does.

        Raises:
            UserError: if it is to have the range that it was trained with, and there is none.
        """
        override = plan.overrides.get(tensor.site)
        chosen = parse(override.calibration) if override and override.calibration else calibration
        if isinstance(chosen, Trained) and self.trained is not None and tensor in self.trained.ranges:
            return self.trained.ranges[tensor]
        spec = plan.activation_spec(tensor.site) or QuantizerSpec(plan.activation_bits, plan.activation_scheme)
        return chosen(self.histograms[tensor], spec)

    def save(self, path: Path) -> None:
        """Writes one compressed .npz without pickled objects; whole or not at all."""
        arrays: dict[str, np.ndarray] = {}
        index = []
        for number, (tensor, histogram) in enumerate(self.histograms.items()):
            occupied = np.flatnonzero(histogram.counts)
            start, stop = int(occupied[0]), int(occupied[-1]) + 1
            arrays[f"counts{number}"] = histogram.counts[start:stop]
            entry = {"tensor": list(tensor), "start": start, "exponent": histogram.exponent}
            index.append(entry | {"minimum": histogram.minimum, "maximum": histogram.maximum})
        header = {"format": FORMAT, "bins": BINS, "samples": self.samples, "tensors": index}
        if self.trained is not None:
            header["trained"] = ends(self.trained)
        header["growth"] = [[one.samples, dict(one.amax), dict(one.tail)] for one in self.growth]
        header["coverage"] = self.coverage.model_dump(mode="json")
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        with whole(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Observations":
        """Reads what `save` wrote.

        Raises:
            UserError: if the file is something else or of another version.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                header = json.loads(arrays["header"].tobytes())
                if header["format"] != FORMAT or header["bins"] != BINS:
                    raise UserError(f"format {header['format']!r} is not {FORMAT!r}")
                histograms = {}
                for number, entry in enumerate(header["tensors"]):
                    counts = np.zeros(2 * BINS, np.int64)
                    part = arrays[f"counts{number}"]
                    counts[entry["start"] : entry["start"] + len(part)] = part
                    histograms[TensorId(*entry["tensor"])] = Histogram(
                        counts, entry["exponent"], entry["minimum"], entry["maximum"]
                    )
                trained = None if "trained" not in header else table_of(header["trained"], "trained")
                growth = tuple(Growth(*one) for one in header.get("growth", ()))
                coverage = Coverage.model_validate(header["coverage"])
                return cls(histograms, coverage, header["samples"], trained, growth)
        except _UNREADABLE as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{path} is not a file of observations ({reason})") from None
