"""Results of the analyses, and the table of them. Every one records what was run, on what, and with which versions."""

from typing import Literal

from qanalysis.schema.base import Record
from qanalysis.schema.params.accuracy import CalibrateParams, DescribeParams, WeightsParams
from qanalysis.schema.results.accuracy import EvaluateResult as EvaluateResult
from qanalysis.schema.results.accuracy import PtqResult as PtqResult
from qanalysis.schema.results.accuracy import PtqRow as PtqRow
from qanalysis.schema.results.advice import Advice
from qanalysis.schema.results.answers import AnswersResult
from qanalysis.schema.results.benchmark import BenchmarkResult, FastestResult
from qanalysis.schema.results.common import Metric, Result
from qanalysis.schema.results.export import ExportResult
from qanalysis.schema.results.qat import QatResult
from qanalysis.schema.results.sensitivity import PartialResult, PlanResult, SensitivityResult, TrialsResult
from qanalysis.schema.results.workflow import WorkflowResult
from qanalysis.schema.site import Coverage


class DescribeResult(Result):
    """Sites and coverage of a model."""

    analysis: Literal["describe"] = "describe"
    params: DescribeParams
    coverage: Coverage


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
        advice: what the histograms show.
    """

    analysis: Literal["calibrate"] = "calibrate"
    params: CalibrateParams
    coverage: Coverage
    ranges: dict[str, dict[str, float | None]]
    samples: int
    observations: str | None = None
    advice: tuple[Advice, ...] = ()


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
    "workflow": WorkflowResult,
}
