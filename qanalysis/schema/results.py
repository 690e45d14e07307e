"""Results of the analyses, and the table of them. Every one records what was run, on what, and with which versions."""

from typing import Literal

from pydantic import Field

from qanalysis.schema.answers import AnswersResult
from qanalysis.schema.base import Record
from qanalysis.schema.benchmark import BenchmarkResult, FastestResult
from qanalysis.schema.export import ExportResult
from qanalysis.schema.params import CalibrateParams, DescribeParams, EvaluateParams, PtqParams, WeightsParams
from qanalysis.schema.qat import QatResult
from qanalysis.schema.result import Metric, Result, Score
from qanalysis.schema.sensitivity import PartialResult, PlanResult, SensitivityResult, TrialsResult
from qanalysis.schema.site import Coverage


class DescribeResult(Result):
    """Sites and coverage of a model."""

    analysis: Literal["describe"] = "describe"
    params: DescribeParams
    coverage: Coverage


class EvaluateResult(Result):
    """Accuracy in floating point, with the model's sites.

    Attributes:
        fp32: the score; None on data without labels, where fp32 is its own reference.
    """

    analysis: Literal["evaluate"] = "evaluate"
    params: EvaluateParams
    coverage: Coverage
    metric: Metric
    fp32: Score | None


class ChannelStatistics(Record):
    """Extent of each output channel of one weight, in its own unit.

    Attributes:
        site: its site.
        amax: largest magnitude of each channel.
        folded_amax: the same after batch-norm folding; None where nothing was folded.
    """

    site: str
    amax: tuple[float, ...]
    folded_amax: tuple[float, ...] | None = None


class CalibrateResult(Result):
    """Every calibration from one pass; the histograms are in the file `observations`.

    Attributes:
        ranges: calibration → activation → largest magnitude represented; None for an all-zero tensor.
        observations: file name of the histograms, beside the result; None if they were not kept.
        samples: number of samples seen.
    """

    analysis: Literal["calibrate"] = "calibrate"
    params: CalibrateParams
    coverage: Coverage
    ranges: dict[str, dict[str, float | None]]
    samples: int
    observations: str | None = None


class PtqRow(Record):
    """One line of the paper's Table 5.

    Attributes:
        calibration: name of the calibration.
        accuracy: in % (see `Score`).
        relative: 100 (accuracy - fp32) / fp32, in %.
        standard_error: of the accuracy, in points.
        interval: 95 % interval of the accuracy, in %.
        difference_interval: 95 % interval of accuracy - fp32 in points, paired on the same samples.
        agreement: top-1 answers equal to those of the fp32 model, in %.
        sqnr: power of the fp32 logits over that of their change, in dB; None if nothing changed.
    """

    calibration: str
    accuracy: float
    relative: float
    standard_error: float
    interval: tuple[float, float]
    difference_interval: tuple[float, float]
    agreement: float
    sqnr: float | None


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
    sites: tuple[dict[str, str | int], ...] = Field(description="name, kind and macs of every site")
    quantized_sites: tuple[str, ...]
    int8_mac_share: float
    float_sites: dict[str, str]


class WeightsRow(Record):
    """Accuracy with weights alone quantized.

    Attributes:
        granularity: per-channel or per-tensor.
        folded: whether batch norm was folded first.
        accuracy: in %.
        relative: 100 (accuracy - fp32) / fp32, in %.
        standard_error: in points.
        interval: 95 % interval of the accuracy.
        difference_interval: 95 % interval of accuracy - fp32 in points, paired on the same samples.
    """

    granularity: str
    folded: bool
    accuracy: float
    relative: float
    standard_error: float
    interval: tuple[float, float]
    difference_interval: tuple[float, float]


class WeightsResult(Result):
    """The weight-only study (Table 3).

    Attributes:
        fp32: accuracy in floating point, in %.
        rows: granularity × folding; two rows where the model has no batch norm to fold.
        channels: extents of every weight's channels.
        folded_pairs: number of batch norms folded.
    """

    analysis: Literal["weights"] = "weights"
    params: WeightsParams
    metric: Metric
    fp32: float
    rows: tuple[WeightsRow, ...]
    channels: tuple[ChannelStatistics, ...]
    folded_pairs: int


RESULTS: dict[str, type[Result]] = {
    "describe": DescribeResult,
    "evaluate": EvaluateResult,
    "calibrate": CalibrateResult,
    "ptq": PtqResult,
    "answers": AnswersResult,
    "weights": WeightsResult,
    "sensitivity": SensitivityResult,
    "partial": PartialResult,
    "plan": PlanResult,
    "export": ExportResult,
    "benchmark": BenchmarkResult,
    "fastest": FastestResult,
    "qat": QatResult,
    "trials": TrialsResult,
}
