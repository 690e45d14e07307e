"""Results to draw, made by hand."""

import math

import numpy as np

from qanalysis.numerics.calibrate import PAPER_CALIBRATIONS
from qanalysis.numerics.histogram import Histogram
from qanalysis.schema.params.accuracy import CalibrateParams, PtqParams, SensitivityParams, WeightsParams
from qanalysis.schema.results.accuracy import PtqResult, PtqRow
from qanalysis.schema.results.calibration import CalibrateResult
from qanalysis.schema.results.common import DataCard, Environment, ModelCard, Score
from qanalysis.schema.results.sensitivity import Partial, PartialStep, Proxy, SensitivityResult, SensitivityRow
from qanalysis.schema.results.weights import ChannelStatistics, WeightsResult, WeightsRow
from qanalysis.schema.site import Coverage, Site

COMMON = {
    "environment": Environment(qanalysis="0", torch="2", python="3", machine="m", device="cpu", threads=1),
    "model": ModelCard(name="sample:n", origin="o", trained=True, architecture="n", parameters=1),
    "data": DataCard(name="sample:d", origin="o", labelled=True, calibration=1, evaluation=1),
    "seconds": 1.0,
}


def site(name: str, macs: int, kind: str = "convolution", weight: tuple[int, ...] = (8, 4, 3, 3)) -> Site:
    channels = weight[0] if weight[1] == 1 else weight[1]
    return Site(name=name, kind=kind, macs=macs, roles=("input",), input_shape=(1, channels, 8, 8), weight_shape=weight)


COVERAGE = Coverage(
    sites=(site("stem", 3_000_000), site("block.depthwise", 500_000, weight=(8, 1, 3, 3)), site("fc", 1_000, "linear"))
)


def relu(outlier: float = 30.0) -> Histogram:
    """Like the output of ReLU: half zeros, a bell's tail, and one far outlier."""
    values = np.maximum(np.random.default_rng(0).normal(size=20_000), 0)
    return Histogram.of(np.append(values, outlier))


def signed() -> Histogram:
    return Histogram.of(np.random.default_rng(1).laplace(size=20_000))


def ptq_row(calibration: str, accuracy: float, fp32: float) -> PtqRow:
    difference = accuracy - fp32
    return PtqRow(
        calibration=calibration,
        accuracy=accuracy,
        relative=100 * difference / fp32,
        standard_error=0.6,
        interval=(accuracy - 1.2, accuracy + 1.2),
        difference_interval=(difference - 0.2, difference + 0.3),
        agreement=97.0,
        sqnr=30.0,
    )


def ptq(fp32: float = 76.0, accuracies: tuple[float, ...] = (75.0, 75.9), metric: str = "accuracy") -> PtqResult:
    rows = tuple(ptq_row(name, a, fp32) for name, a in zip(PAPER_CALIBRATIONS, accuracies, strict=False))
    return PtqResult(
        **COMMON,
        params=PtqParams(),
        coverage=COVERAGE,
        metric=metric,
        fp32=fp32,
        fp32_score=Score(accuracy=fp32, standard_error=0.6, interval=(fp32 - 1.2, fp32 + 1.2), samples=2000),
        rows=rows,
        best=max(rows, key=lambda row: row.accuracy).calibration if rows else "max",
        ranges={},
        sites=(),
        quantized_sites=(),
        int8_mac_share=100.0,
        float_sites={},
    )


def weights(*channels: ChannelStatistics, rows: int = 4, bits: int = 8) -> WeightsResult:
    table = (
        ("per-channel", False, 91.6),
        ("per-tensor", False, 90.9),
        ("per-channel", True, 91.5),
        ("per-tensor", True, 30.0),
    )
    return WeightsResult(
        **COMMON,
        params=WeightsParams(bits=bits),
        metric="accuracy",
        fp32=91.7,
        rows=tuple(
            WeightsRow(
                granularity=granularity,
                folded=folded,
                accuracy=accuracy,
                relative=100 * (accuracy - 91.7) / 91.7,
                standard_error=0.6,
                interval=(accuracy - 1, accuracy + 1),
                difference_interval=(accuracy - 92.2, accuracy - 91.2),
            )
            for granularity, folded, accuracy in table[:rows]
        ),
        channels=channels,
        folded_pairs=1 if rows == 4 else 0,
    )


CHANNELS = (
    ChannelStatistics(site="stem", amax=(0.5, 0.2, 1.0, 0.4), folded_amax=(0.01, 5.0, 0.001, 0.0)),
    ChannelStatistics(site="fc", amax=(0.3, 0.6)),
)


def calibrated(ranges: dict[str, dict[str, float | None]]) -> CalibrateResult:
    return CalibrateResult(**COMMON, params=CalibrateParams(), coverage=COVERAGE, ranges=ranges, samples=4)


def change(accuracy: float, fp32: float = 76.0, divergence: float = 0.01, half: float = 0.3) -> dict:
    """Fields of `Change`; the interval reaches `half` points to both sides."""
    difference = accuracy - fp32
    return {
        "accuracy": accuracy,
        "relative": 100 * difference / fp32,
        "interval": (difference - half, difference + half),
        "divergence": divergence,
        "divergence_interval": (0.8 * divergence, 1.2 * divergence),
        "sqnr": 10 * math.log10(1 / divergence) if divergence else None,
        "samples": 2000,
    }


def sensitivity_row(site: str, accuracy: float = 75.0, divergence: float = 0.01, tie: int = 0) -> SensitivityRow:
    return SensitivityRow(site=site, macs=1_234_567, tie=tie, **change(accuracy, divergence=divergence))


def sensitivity_rows(count: int) -> tuple[SensitivityRow, ...]:
    return tuple(sensitivity_row(f"blocks.{i}.conv", 76 - 2 / (i + 1), 0.1 * 0.5**i, tie=i // 2) for i in range(count))


def partial(*accuracies: float, chosen: int | None = None, search: str = "order") -> Partial:
    names = [f"blocks.{i}.conv" for i in range(len(accuracies))]
    return Partial(
        search=search,
        steps=tuple(
            PartialStep(skipped=tuple(names[:i]), int8_mac_share=100 - 5.0 * i, **change(accuracy))
            for i, accuracy in enumerate(accuracies)
        ),
        chosen=chosen,
        evaluations=len(accuracies),
    )


def sensitivity(
    rows: tuple[SensitivityRow, ...], partial: Partial | None = None, proxies: bool = True, quantized: float = 73.0
) -> SensitivityResult:
    scores = {row.site: row.divergence for row in rows}
    agreement = 1.0 if len(rows) > 1 else None
    both = {"correlation_divergence": agreement, "correlation_accuracy": agreement}
    return SensitivityResult(
        **COMMON,
        params=SensitivityParams(mode="without" if partial is None else "only"),
        coverage=COVERAGE,
        metric="accuracy",
        fp32=76.0,
        quantized=quantized,
        rows=rows,
        stopped={},
        partial=partial,
        proxies=(
            Proxy(name="output-sqnr", values={site: -score for site, score in scores.items()}, **both),
            Proxy(name="weight-mse", values=dict.fromkeys(scores), **both | {"correlation_divergence": None}),
            Proxy(name="fisher", values=scores, **both),
        )
        if proxies
        else (),
        float_sites={},
        fp32_seconds=1.0,
        sites_seconds=2.0,
        replayed_bytes=1,
    )
