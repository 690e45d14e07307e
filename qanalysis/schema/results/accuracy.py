"""Results that are accuracies: in floating point, and under every calibration (Tables 4 and 5)."""

from typing import Literal

from pydantic import Field

from qanalysis.schema.base import Record
from qanalysis.schema.params.accuracy import EvaluateParams, PtqParams
from qanalysis.schema.results.common import Bounds, Metric, Result, Score
from qanalysis.schema.site import Coverage


class EvaluateResult(Result):
    """Accuracy in floating point, with the model's sites.

    Attributes:
        fp32: the score; None on data without labels, where fp32 is its own reference.
        details: further figures of the task in %, e.g. AP50.
    """

    analysis: Literal["evaluate"] = "evaluate"
    params: EvaluateParams
    coverage: Coverage
    metric: Metric
    fp32: Score | None
    details: dict[str, float] = Field(default_factory=dict)


class PtqRow(Record):
    """One line of the paper's Table 5.

    Attributes:
        calibration: name of the calibration.
        accuracy: in % (see `Score`).
        relative: 100 (accuracy - fp32) / fp32, in %.
        standard_error: of the accuracy, in points.
        accuracy_interval: 95 % interval of the accuracy, in %.
        change_interval: 95 % interval of accuracy - fp32 in points, paired on the same samples.
        agreement: answers equal to those of the fp32 model, in %.
        sqnr: power of the fp32 outputs over that of their change, in dB; None if nothing changed.
        details: further figures of the task in %, e.g. AP50.
    """

    calibration: str
    accuracy: float
    relative: float
    standard_error: float
    accuracy_interval: tuple[float, float] = Field(alias="interval")
    change_interval: tuple[float, float] = Field(alias="difference_interval")
    agreement: float
    sqnr: float | None
    details: dict[str, float] = Field(default_factory=dict)


class PtqResult(Result):
    """The PTQ grid of one model (Tables 4 and 5).

    Attributes:
        metric: accuracy, or agreement with fp32 where there are no labels (then `fp32` is 100).
        fp32: accuracy of the floating-point model in %, on the same samples.
        fp32_score: the same with its interval.
        rows: one per calibration.
        best: calibration of the best row.
        ranges: calibration → activation → largest magnitude represented; None for an all-zero tensor.
        sites: the sites quantized or not, with their costs.
        quantized_sites: names of the sites that ran quantized.
        int8_mac_share: share of all multiply-accumulates in these sites, in %.
        float_sites: names of the sites that stayed in floating point, with the reason.
    """

    analysis: Literal["ptq"] = "ptq"
    params: PtqParams
    coverage: Coverage
    metric: Metric
    fp32: float
    fp32_score: Score
    rows: tuple[PtqRow, ...]
    best: str
    ranges: dict[str, dict[str, float | None]]
    bounds: dict[str, Bounds] = Field(default_factory=dict)
    sites: tuple[dict[str, str | int], ...] = Field(description="name, kind and macs of every site")
    quantized_sites: tuple[str, ...]
    int8_mac_share: float
    float_sites: dict[str, str]
