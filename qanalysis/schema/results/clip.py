"""Result of clipping GELU and Swish (Table 12)."""

from typing import Literal

from qanalysis.schema.params.accuracy import ClipParams
from qanalysis.schema.results.accuracy import PtqRow
from qanalysis.schema.results.common import Metric, Result, Score

#: Calibration of a row in floating point.
FLOAT = "fp32"


class ClipRow(PtqRow):
    """One network of Table 12, compared with fp32 as it was loaded.

    Attributes:
        calibration: name of the calibration, `fp32` for floating point.
        clipped: whether GELU and Swish are clipped.
    """

    clipped: bool


class ClipResult(Result):
    """The network as it is and with GELU and Swish clipped (Appendix D, Table 12).

    Attributes:
        metric: accuracy, or agreement with fp32 where there are no labels (then `fp32` is 100).
        fp32: accuracy of the floating-point network as it was loaded, in %.
        fp32_score: the same with its interval.
        rows: every calibration of the network as it is; then the clipped one, in floating point and with max.
        clipped_model: name of the model that is clipped.
    """

    analysis: Literal["clip"] = "clip"
    params: ClipParams
    metric: Metric
    fp32: float
    fp32_score: Score
    rows: tuple[ClipRow, ...]
    clipped_model: str

    def row(self, calibration: str, *, clipped: bool) -> ClipRow | None:
        """The row of a calibration, `fp32` for floating point; None if it was not measured."""
        found = (row for row in self.rows if (row.calibration, row.clipped) == (calibration, clipped))
        return next(found, None)
