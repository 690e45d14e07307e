"""What observation and calibration give: sites with their cost, and a range for every activation."""

from typing import Literal

from qanalysis.schema.params.accuracy import CalibrateParams, DescribeParams
from qanalysis.schema.results.advice import Advice
from qanalysis.schema.results.common import Result
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
        observations: file name of the histograms, beside the result; None if they were not kept.
        samples: number of samples seen.
        advice: what the histograms show.
    """

    analysis: Literal["calibrate"] = "calibrate"
    params: CalibrateParams
    coverage: Coverage
    ranges: dict[str, dict[str, float | None]]
    samples: int
    observations: str | None = None
    advice: tuple[Advice, ...] = ()
