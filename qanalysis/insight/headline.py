"""Headline: what a result says in one line, in fields that results of different analyses share."""

from collections.abc import Sequence
from functools import singledispatch

from qanalysis.insight.words import counted, metric_noun
from qanalysis.numerics.change import relative
from qanalysis.schema.base import Record
from qanalysis.schema.params.accuracy import AnswersParams, PtqParams
from qanalysis.schema.results.accuracy import EvaluateResult, PtqResult
from qanalysis.schema.results.answers import AnswersResult, flips
from qanalysis.schema.results.benchmark import BenchmarkResult, FastestResult, int8_row
from qanalysis.schema.results.calibration import CalibrateResult
from qanalysis.schema.results.clip import ClipResult
from qanalysis.schema.results.common import Metric, Result
from qanalysis.schema.results.export import ExportResult
from qanalysis.schema.results.qat import QatResult
from qanalysis.schema.results.sensitivity import PartialResult, PlanResult, SensitivityResult
from qanalysis.schema.results.weights import WeightsResult
from qanalysis.schema.results.workflow import WorkflowResult
from qanalysis.schema.saved_plan import SavedPlan

#: Ranges by activation: largest magnitude represented, or None where a tensor was all zero.
Magnitudes = dict[str, float | None]


class Headline(Record):
    """The quantized model that a result is about; what an analysis does not measure is None.

    Attributes:
        what: what was done, in a few words.
        metric: accuracy, or agreement with fp32 where there are no labels.
        fp32: accuracy in floating point, in %.
        accuracy: accuracy of the quantized model, in %.
        change_interval: 95 % interval of accuracy - fp32, in points.
        calibration: calibration of its activations.
        skipped: number of sites in floating point.
        sites: number of sites.
        latency_ms: median latency of its fastest row, in ms.
        speedup: over floating point in the same engine.
    """

    what: str
    metric: Metric | None = None
    fp32: float | None = None
    accuracy: float | None = None
    change_interval: tuple[float, float] | None = None
    calibration: str | None = None
    skipped: int | None = None
    sites: int | None = None
    latency_ms: float | None = None
    speedup: float | None = None

    @property
    def relative(self) -> float | None:
        """100 (accuracy - fp32) / fp32, in %."""
        return None if self.accuracy is None or self.fp32 is None else relative(self.accuracy, self.fp32)

    @property
    def line(self) -> str:
        """Its numbers in one line."""
        parts = []
        if self.accuracy is not None:
            change = "" if self.relative is None else f" ({self.relative:+.2f} %)"
            parts.append(f"{self.accuracy:.2f} %{change}")
        elif self.fp32 is not None:
            parts.append(f"fp32 {self.fp32:.2f} %")
        if self.latency_ms is not None:
            parts.append(f"{self.latency_ms:.3g} ms")
        if self.speedup is not None:
            parts.append(f"{self.speedup:.2f} × fp32")
        return ", ".join([*parts, self.what]) if parts else self.what


def common_metric(headlines: Sequence[Headline]) -> str:
    """What the accuracies of several runs are called: their metric where it is one, else accuracy."""
    metrics = {head.metric for head in headlines if head.metric is not None}
    return metric_noun(metrics.pop()) if len(metrics) == 1 else "accuracy"


@singledispatch
def headline(result: Result) -> Headline | None:
    """The headline of a result; None for an analysis that has none. Each is made by a function registered below."""
    return None


def ranges(result: Result) -> Magnitudes:
    """The ranges of the quantized model that a result is about; empty where it does not say."""
    if isinstance(result, PtqResult):
        return result.ranges[result.best]
    if isinstance(result, QatResult):
        return result.ranges
    if isinstance(result, CalibrateResult):
        return next(iter(result.ranges.values()))
    return {}


def answers_params(result: Result, checkpoint: str | None = None) -> AnswersParams | None:
    """Parameters of the run that shows the answers of the quantized model that a result is about.

    Args:
        result: of PTQ, QAT, one plan, partial quantization or sensitivity.
        checkpoint: path of the network that QAT trained.

    Returns:
        None where the result is about no such model, or its checkpoint is not there.
    """
    if isinstance(result, PtqResult):
        values = {name: getattr(result.params, name) for name in PtqParams.model_fields}
        return AnswersParams(**values | {"calibrations": (result.best,)})
    if isinstance(result, QatResult):
        if checkpoint is None:
            return None
        given = {"model": f"checkpoint:{checkpoint}", "calibrations": ("trained",)}
        plan = SavedPlan.of("fine-tuned", result.model.name, result.coverage, "trained", result.plan)
    elif isinstance(result, PlanResult | PartialResult | SensitivityResult):
        plan = result.saved_plan("measured")
        given = {"model": result.params.model, "calibrations": (plan.calibration,)}
    else:
        return None
    names = ("data", "task", "device", "batch_size", "seed", "evaluation_samples", "calibration_samples")
    return AnswersParams(**given | {name: getattr(result.params, name) for name in names}, plan=plan)


@headline.register
def _evaluate(result: EvaluateResult) -> Headline:
    fp32 = None if result.fp32 is None else result.fp32.accuracy
    return Headline(what="floating point", metric=result.metric, fp32=fp32, sites=len(result.coverage.sites))


@headline.register
def _calibrate(result: CalibrateResult) -> Headline:
    return Headline(what=f"{result.samples:,} samples seen", sites=len(result.coverage.sites))


@headline.register
def _ptq(result: PtqResult) -> Headline:
    best = next(row for row in result.rows if row.calibration == result.best)
    return Headline(
        what=f"best of {len(result.rows)}" if len(result.rows) > 1 else "PTQ",
        metric=result.metric,
        fp32=result.fp32,
        accuracy=best.accuracy,
        change_interval=best.change_interval,
        calibration=result.best,
        skipped=len(result.float_sites),
        sites=len(result.sites),
    )


@headline.register
def _clip(result: ClipResult) -> Headline:
    row = result.row("max", clipped=True)
    return Headline(
        what=f"max with {' and '.join(result.model.activations)} clipped at {result.params.at:g}",
        metric=result.metric,
        fp32=result.fp32,
        accuracy=None if row is None else row.accuracy,
        change_interval=None if row is None else row.change_interval,
        calibration="max",
    )


@headline.register
def _weights(result: WeightsResult) -> Headline:
    worst = min(result.rows, key=lambda row: row.accuracy)
    folded = ", folded" if worst.folded else ""
    return Headline(
        what=f"worst: {worst.granularity}{folded}",
        metric=result.metric,
        fp32=result.fp32,
        accuracy=worst.accuracy,
        change_interval=worst.change_interval,
    )


@headline.register
def _sensitivity(result: SensitivityResult) -> Headline:
    first = result.rows[0].site if result.rows else "no site"
    chosen = None
    if result.partial is not None and result.partial.chosen is not None:
        chosen = result.partial.steps[result.partial.chosen]
    return Headline(
        what=f"most sensitive: {first}",
        metric=result.metric,
        fp32=result.fp32,
        accuracy=result.quantized if chosen is None else chosen.accuracy,
        change_interval=None if chosen is None else chosen.change_interval,
        calibration=result.params.effective_calibration,
        skipped=len(result.float_sites) + (0 if chosen is None else len(chosen.skipped)),
        sites=len(result.coverage.sites),
    )


@headline.register
def _partial(result: PartialResult) -> Headline:
    step = result.partial.steps[-1 if result.partial.chosen is None else result.partial.chosen]
    return Headline(
        what="target not reached" if result.partial.chosen is None else f"{counted(len(step.skipped), 'site')} skipped",
        metric=result.metric,
        fp32=result.fp32,
        accuracy=step.accuracy,
        change_interval=step.change_interval,
        calibration=result.params.effective_calibration,
        skipped=sum(not result.plan.quantizes(site.name) for site in result.coverage.sites),
        sites=len(result.coverage.sites),
    )


@headline.register
def _measured_plan(result: PlanResult) -> Headline:
    return Headline(
        what="one plan",
        metric=result.metric,
        fp32=result.fp32,
        accuracy=result.change.accuracy,
        change_interval=result.change.change_interval,
        calibration=result.params.effective_calibration,
        skipped=len(result.float_sites),
        sites=len(result.coverage.sites),
    )


@headline.register
def _qat(result: QatResult) -> Headline:
    return Headline(
        what=f"{result.params.ranges} ranges from {result.calibration}",
        metric=result.metric,
        fp32=result.fp32.accuracy,
        accuracy=result.qat.accuracy,
        change_interval=result.qat.change_interval,
        calibration="trained",
        skipped=len(result.float_sites),
        sites=len(result.coverage.sites),
    )


@headline.register
def _answers(result: AnswersResult) -> Headline:
    if result.fp32 is None:
        return _changes(result)
    name, last = list(result.quantized.items())[-1]
    truth, count = result.truth, max(len(result.truth), 1)
    right = sum(want == got for want, got in zip(truth, last.classes, strict=True))
    fp32 = sum(want == got for want, got in zip(truth, result.fp32.classes, strict=True))
    return Headline(
        what=f"{len(flips(truth, result.fp32, last)):,} of {len(truth):,} answers changed",
        metric=result.metric,
        fp32=100 * fp32 / count,
        accuracy=100 * right / count,
        calibration=name,
    )


def _changes(result: AnswersResult) -> Headline:
    """Of answers that are no classes: how much of fp32's the samples shown keep."""
    name = result.params.calibrations[-1]
    kept = [one.same[name] for one in result.changed if name in one.same]
    what = f"{sum(share < 1 for share in kept):,} {result.words.samples} with another {result.words.answer}"
    return Headline(what=what, metric=result.metric, calibration=name)


@headline.register
def _export(result: ExportResult) -> Headline:
    return Headline(
        what=f"files agree in {result.verification.agreement:.2f} %",
        metric=result.metric,
        fp32=result.fp32,
        accuracy=result.verification.measured,
        calibration=result.params.effective_calibration,
        skipped=len(result.float_sites),
        sites=len(result.coverage.sites),
    )


@headline.register
def _benchmark(result: BenchmarkResult) -> Headline:
    first = int8_row(result.rows) or next(iter(result.rows), None)
    if first is None:
        return Headline(what="no engine ran it", metric=result.metric, fp32=result.fp32)
    agreeing = [row for row in result.agreement if (row.engine, row.precision) == (first.engine, first.precision)]
    return Headline(
        what=f"{first.engine} {first.precision}, batch {first.batch}",
        metric=result.metric,
        fp32=result.fp32,
        accuracy=agreeing[0].accuracy if agreeing else None,
        calibration=result.params.effective_calibration,
        skipped=len(result.float_sites),
        sites=first.sites,
        latency_ms=first.latency_ms.median,
        speedup=first.speedup,
    )


@headline.register
def _fastest(result: FastestResult) -> Headline:
    found = result.measured_ms is not None
    return Headline(
        what=f"fastest plan in {result.params.engine}" if found else "no plan within the target",
        metric=result.metric,
        fp32=result.fp32,
        accuracy=result.accuracy,
        calibration=result.params.effective_calibration,
        sites=len(result.coverage.sites),
        latency_ms=result.measured_ms,
        speedup=result.float_ms / result.measured_ms if result.measured_ms else None,
    )


@headline.register
def _workflow(result: WorkflowResult) -> Headline:
    given = result.recommendation
    best = given.best
    ends = {"ptq": "PTQ is enough", "partial": "partial quantization", "qat": "QAT", "none": "target not reached"}
    return Headline(
        what=ends[given.end],
        metric=result.metric,
        fp32=best.fp32,
        accuracy=best.accuracy,
        change_interval=best.change_interval,
        calibration=best.plan.calibration,
        skipped=len(best.skipped),
        sites=len(result.coverage.sites),
        latency_ms=None if given.speed is None else given.speed.int8_ms,
        speedup=None if given.speed is None else given.speed.speedup,
    )
