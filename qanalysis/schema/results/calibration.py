"""What observation and calibration give: sites with their cost, and a range for every activation."""

from typing import Literal

from pydantic import Field

from qanalysis.numerics.spec import Range
from qanalysis.schema.params.accuracy import CalibrateParams, DescribeParams
from qanalysis.schema.results.advice import Advice
from qanalysis.schema.results.common import Bounds, Result
from qanalysis.schema.site import Coverage


class DescribeResult(Result):
    """Sites and coverage of a model."""

    analysis: Literal["describe"] = "describe"
    params: DescribeParams
    coverage: Coverage


class CalibrateResult(Result):
    """Every calibration from one pass; the histograms are in the file `observations`.

    Attributes:
        ranges: calibration → activation → largest magnitude represented; None for an all-zero tensor.
        bounds: calibration → the ranges themselves; empty in results of before there were any.
        observations: file name of the histograms, beside the result; None if they were not kept.
        samples: number of samples seen.
        advice: what the histograms show.
    """

    analysis: Literal["calibrate"] = "calibrate"
    params: CalibrateParams
    coverage: Coverage
    ranges: dict[str, dict[str, float | None]]
    bounds: dict[str, Bounds] = Field(default_factory=dict)
    samples: int
    observations: str | None = None
    advice: tuple[Advice, ...] = ()

    def range_of(self, calibration: str, activation: str) -> Range | None:
        """The range that a calibration gave an activation; None for an all-zero tensor."""
        ends = self.bounds.get(calibration, {}).get(activation)
        if ends is not None:
            return Range(*ends)
        amax = self.ranges[calibration].get(activation)
        return Range(-amax, amax) if amax else None
