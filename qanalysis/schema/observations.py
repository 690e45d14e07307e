"""Observations: the histogram of every activation from one pass over the data, and the file they are kept in."""

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qanalysis.numerics.calibrate import Calibration, parse
from qanalysis.numerics.histogram import BINS, Histogram
from qanalysis.numerics.spec import QuantizerSpec, Range
from qanalysis.schema.plan import Plan
from qanalysis.schema.site import Coverage, TensorId

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


@dataclass(frozen=True)
class Observations:
    """What one pass over the calibration data saw.

    Attributes:
        histograms: by tensor, every activation operand of every site.
        coverage: the sites, and what was not covered.
        samples: number of samples seen.
    """

    histograms: Mapping[TensorId, Histogram]
    coverage: Coverage
    samples: int

    def ranges(self, calibration: Calibration, plan: Plan | None = None) -> RangeTable:
        """Calibrates every tensor (section 3.4) for the bits and scheme that the plan gives its site."""
        plan = plan or Plan()
        ranges = {}
        for tensor, histogram in self.histograms.items():
            spec = plan.activation_spec(tensor.site) or QuantizerSpec(plan.activation_bits, plan.activation_scheme)
            override = plan.overrides.get(tensor.site)
            chosen = parse(override.calibration) if override and override.calibration else calibration
            ranges[tensor] = chosen(histogram, spec)
        return RangeTable(str(calibration), ranges)

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
        header["coverage"] = self.coverage.model_dump(mode="json")
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        partial = path.with_name(path.name + ".part")
        with partial.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Observations":
        """Reads what `save` wrote.

        Raises:
            ValueError: if the file is something else or of another version.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                header = json.loads(arrays["header"].tobytes())
                if header["format"] != FORMAT or header["bins"] != BINS:
                    raise ValueError(f"format {header['format']!r} is not {FORMAT!r}")
                histograms = {}
                for number, entry in enumerate(header["tensors"]):
                    counts = np.zeros(2 * BINS, np.int64)
                    part = arrays[f"counts{number}"]
                    counts[entry["start"] : entry["start"] + len(part)] = part
                    histograms[TensorId(*entry["tensor"])] = Histogram(
                        counts, entry["exponent"], entry["minimum"], entry["maximum"]
                    )
                return cls(histograms, Coverage.model_validate(header["coverage"]), header["samples"])
        except _UNREADABLE as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"{path} is not a file of observations ({reason})") from None
