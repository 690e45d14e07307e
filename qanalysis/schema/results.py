"""Results of the analyses. Every one records what was run, on what, and with which versions."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from pydantic import Field

from qanalysis.schema.base import Record
from qanalysis.schema.params import (
    CalibrateParams,
    DescribeParams,
    EvaluateParams,
    PtqParams,
    SensitivityParams,
    WeightsParams,
)
from qanalysis.schema.site import Coverage

Metric = Literal["accuracy", "agreement"]


class Environment(Record):
    """Where a result was made."""

    qanalysis: str
    torch: str
    python: str
    machine: str
    device: str
    threads: int

    @classmethod
    def here(cls, device: str, threads: int) -> "Environment":
        """This process's environment."""
        return cls(
            qanalysis=_version("qanalysis"),
            torch=_version("torch"),
            python=platform.python_version(),
            machine=f"{platform.system()} {platform.machine()}",
            device=device,
            threads=threads,
        )


class ModelCard(Record):
    """What was loaded.

    Attributes:
        name: full name of the model.
        origin: a sentence about where it comes from.
        trained: False for random weights: accuracies then mean nothing.
        architecture: name of the architecture.
        parameters: number of parameters.
    """

    name: str
    origin: str
    trained: bool
    architecture: str
    parameters: int


class DataCard(Record):
    """What the model was run on.

    Attributes:
        name: full name of the data.
        origin: a sentence about where it comes from.
        labelled: whether accuracy can be measured; otherwise the metric is agreement with fp32.
        calibration: samples there are to calibrate on.
        evaluation: samples there are to evaluate on.
        classes: names of the classes, where known.
        warnings: unreadable images and the like.
    """

    name: str
    origin: str
    labelled: bool
    calibration: int
    evaluation: int
    classes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Score(Record):
    """One measured accuracy.

    Attributes:
        accuracy: top-1 in % of the labels, or of the fp32 model's answers where there are no labels.
        standard_error: of the accuracy, in percentage points (binomial).
        interval: 95 % interval of the accuracy (Wilson), in %.
        samples: number of samples.
    """

    accuracy: float
    standard_error: float
    interval: tuple[float, float]
    samples: int


class Result(Record):
    """What all results have."""

    version: Literal[1] = 1
    environment: Environment
    model: ModelCard
    data: DataCard
    seconds: float
    warnings: tuple[str, ...] = ()


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


class SensitivityRow(Record):
    """What quantizing one site does (or leaving it out, with `mode` without).

    Attributes:
        site: exact name of the site.
        accuracy: in % (see `Score`).
        relative: 100 (accuracy - fp32) / fp32, in %.
        interval: 95 % interval of accuracy - fp32 in points, paired on the same samples.
        kl: mean divergence of the class probabilities from fp32, KL(fp32 ‖ quantized), in nats.
        sqnr: power of the fp32 logits over that of their change, in dB; None if nothing changed.
        macs: multiply-accumulates of the site.
    """

    site: str
    accuracy: float
    relative: float
    interval: tuple[float, float]
    kl: float
    sqnr: float | None
    macs: int


class PartialStep(Record):
    """Accuracy with the most sensitive sites left in floating point (Fig. 3, Table 6).

    Attributes:
        skipped: these sites, the most sensitive first.
        accuracy: in %.
        relative: 100 (accuracy - fp32) / fp32, in %.
        interval: 95 % interval of accuracy - fp32 in points, paired on the same samples.
        int8_mac_share: share of multiply-accumulates still quantized, in %.
    """

    skipped: tuple[str, ...]
    accuracy: float
    relative: float
    interval: tuple[float, float]
    int8_mac_share: float


class Partial(Record):
    """Partial quantization in order of sensitivity.

    Attributes:
        steps: none skipped, then one more each, until the target is met or no more may be skipped.
        chosen: number of the first step within the target; None if there is none.
    """

    steps: tuple[PartialStep, ...]
    chosen: int | None


class SensitivityResult(Result):
    """Sensitivity of every site (section 5.1).

    Attributes:
        metric: accuracy, or agreement with fp32 where there are no labels.
        fp32: accuracy in floating point, in %.
        quantized: accuracy with all sites quantized, in %.
        rows: the most sensitive site first: by divergence, which resolves what few samples cannot resolve in accuracy.
        partial: partial quantization in that order; None with `mode` without.
        site_seconds: time of the loop over sites, recording included.
        fp32_seconds: time of one evaluation in floating point, same samples and batches.
        replayed_bytes: most memory that recorded outputs took.
    """

    analysis: Literal["sensitivity"] = "sensitivity"
    params: SensitivityParams
    coverage: Coverage
    metric: Metric
    fp32: float
    quantized: float
    rows: tuple[SensitivityRow, ...]
    partial: Partial | None
    site_seconds: float
    fp32_seconds: float
    replayed_bytes: int


RESULTS: dict[str, type[Result]] = {
    "describe": DescribeResult,
    "evaluate": EvaluateResult,
    "calibrate": CalibrateResult,
    "ptq": PtqResult,
    "weights": WeightsResult,
    "sensitivity": SensitivityResult,
}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
