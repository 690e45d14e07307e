"""Rules of the advice: each looks at one result, and speaks only where this model's own numbers show the symptom."""

from collections.abc import Iterable, Mapping
from typing import Any

from qanalysis.insight.words import metric_noun
from qanalysis.numerics.change import relative
from qanalysis.schema.results.accuracy import PtqResult
from qanalysis.schema.results.advice import Advice
from qanalysis.schema.results.benchmark import BenchmarkResult
from qanalysis.schema.results.common import Result
from qanalysis.schema.results.qat import QatResult
from qanalysis.schema.results.sensitivity import SensitivityResult
from qanalysis.schema.site import Coverage

#: The maximum over the 99.99 % point, from which on a few values take nearly all codes.
FAR = 16.0
#: Rows that may share the first place before it is worth to measure more.
_TIED = 3
_TARGET = 1.0
_TAIL = "percentile:99.99"


def of_ptq(result: PtqResult) -> tuple[Advice, ...]:
    """Advice on PTQ: outliers, a degenerate entropy, too few samples, per-tensor weights."""
    given = [
        *outliers(result.ranges),
        *degenerate(result.ranges),
        *_per_tensor(result.coverage, result.params),
        *_undecided(result),
    ]
    return tuple(given)


def of_sensitivity(result: SensitivityResult) -> tuple[Advice, ...]:
    """Advice on sensitivity: first and last layer, depthwise layers, an order that is not known."""
    if not result.rows or result.params.mode != "only":
        return ()
    return (*_ends(result), *_depthwise(result), *_ties(result))


def of_qat(result: QatResult) -> tuple[Advice, ...]:
    """Advice on a fine-tune: the best epoch came early, training alone gains as much, or nothing was gained."""
    given = []
    last = result.epochs[-1].epoch if result.epochs else 0
    if last >= 2 and result.run.best_epoch < last / 2:
        given.append(
            Advice(
                rule="early-epoch",
                symptom="The best epoch came early.",
                evidence=f"Epoch {result.run.best_epoch} of {last} was kept: what came after it made things worse.",
                remedy="Use a lower learning rate.",
                source="Appendix A.2, Table 10",
                severity="warning",
            )
        )
    if result.qat.change_interval[0] <= result.ptq.change_interval[1]:
        given.append(
            Advice(
                rule="no-gain",
                symptom="Training gained nothing that could be measured.",
                evidence=f"{result.qat.accuracy:.2f} % after it, {result.ptq.accuracy:.2f} % before, and the intervals "
                "of both changes against fp32 overlap (95 %).",
                remedy="Where PTQ loses little there is little to gain; else train longer, or with a higher rate.",
                source="section 5.2, Table 7",
            )
        )
    control = result.fp32_control
    if control is not None and control.accuracy - result.fp32.accuracy >= 0.5:
        given.append(
            Advice(
                rule="control-gains",
                symptom="More training alone gains, too.",
                evidence=f"fp32 goes from {result.fp32.accuracy:.2f} to {control.accuracy:.2f} % by the same training.",
                remedy="Hold QAT against that control, not against the original network.",
                source="section 5.2",
            )
        )
    return tuple(given)


def of_benchmark(result: BenchmarkResult) -> tuple[Advice, ...]:
    """Advice on speed: layers that int8 does not make faster, and sites that the engine left in floating point."""
    given = []
    layers = result.layers
    slow = [] if layers is None else [r for r in layers.rows if r.planned and r.speedup is not None and r.speedup < 1]
    if slow and layers is not None:
        slow.sort(key=lambda row: row.speedup or 0)
        first = slow[0]
        conversion = first.conversion_ms.get("int8", 0.0)
        given.append(
            Advice(
                rule="slow-layer",
                symptom="Int8 does not speed up every layer.",
                evidence=f"In {layers.engine} {more(first.site, len(slow))} had {first.speedup:.2f} times fp32's speed"
                + (f", of it {conversion:.3f} ms to convert its inputs." if conversion else "."),
                remedy="Leave these in floating point if that costs nothing elsewhere, or search for the fastest plan.",
                source="section 3.3, Table 1",
                severity="warning",
                sites=tuple(row.site for row in slow),
            )
        )
    for row in result.rows:
        if row.planned_sites and row.int8_sites < row.planned_sites:
            given.append(
                Advice(
                    rule="not-int8",
                    symptom="The engine does not run every layer in int8.",
                    evidence=f"{row.engine} ran {row.int8_sites} of the {row.planned_sites} planned layers in int8.",
                    remedy="See which on the Benchmark page; another engine may have kernels for them.",
                    source="section 4",
                )
            )
            break
    return tuple(given)


def of_workflow(results: Mapping[Any, Result]) -> tuple[Advice, ...]:
    """Advice on all stages; a rule speaks once."""
    found: dict[str, Advice] = {}
    for result in results.values():
        for one in of(result):
            found.setdefault(one.rule, one)
    return tuple(found.values())


def of(result: Result) -> tuple[Advice, ...]:
    """Advice on any result."""
    if isinstance(result, PtqResult):
        return of_ptq(result)
    if isinstance(result, SensitivityResult):
        return of_sensitivity(result)
    if isinstance(result, QatResult):
        return of_qat(result)
    return of_benchmark(result) if isinstance(result, BenchmarkResult) else ()


def outliers(ranges: Mapping[str, Mapping[str, float | None]]) -> Iterable[Advice]:
    """Activations whose maximum is far beyond nearly all values.

    Args:
        ranges: calibration → activation → largest magnitude represented.
    """
    if "max" not in ranges or _TAIL not in ranges:
        return
    far = {}
    for key, amax in ranges["max"].items():
        tail = ranges[_TAIL].get(key)
        if amax and tail and amax >= FAR * tail:
            far[key] = amax / tail
    if far:
        first = max(far, key=lambda key: far[key])
        yield Advice(
            rule="outlier",
            symptom="A few values lie far out.",
            evidence=f"In {more(first, len(far))} the maximum is {far[first]:.0f} times the 99.99 % point: with max "
            "calibration almost all values share a few codes.",
            remedy="Calibrate with entropy or a percentile, which cut them off.",
            source="section 3.4, Table 5",
            severity="warning",
            sites=tuple(sorted(far, key=lambda key: -far[key])),
        )


def entropy_is_max(entropy: float, amax: float) -> bool:
    """Whether entropy calibration kept the maximum, up to its last bin."""
    return entropy >= 0.999 * amax


def degenerate(ranges: Mapping[str, Mapping[str, float | None]]) -> Iterable[Advice]:
    """Activations for which entropy found nothing better than the maximum, although nearly all values are smaller."""
    if "max" not in ranges or "entropy" not in ranges or _TAIL not in ranges:
        return
    found = []
    for key, amax in ranges["max"].items():
        entropy, tail = ranges["entropy"].get(key), ranges[_TAIL].get(key)
        if amax and entropy and tail and entropy_is_max(entropy, amax) and tail <= amax / 2:
            found.append(key)
    if found:
        first = found[0]
        tail = ranges[_TAIL][first]
        yield Advice(
            rule="entropy-is-max",
            symptom="Entropy calibration chose the maximum.",
            evidence=f"In {more(first, len(found))} it cuts nothing off, though 99.99 % of the values are below "
            f"{tail:.3g} and the maximum is {ranges['max'][first]:.3g}: its divergence is infinite where the last kept "
            "bin is empty.",
            remedy="Use a percentile or MSE there.",
            source="section 3.4",
            sites=tuple(found),
        )


def _per_tensor(coverage: Coverage, params: Any) -> Iterable[Advice]:
    depthwise = [site.name for site in coverage.sites if site.depthwise]
    if depthwise and params.effective_plan().weight_granularity == "per-tensor" and params.fold_bn:
        yield Advice(
            rule="depthwise-per-tensor",
            symptom="One range for all channels of folded depthwise weights.",
            evidence=f"Batch norm is folded into {more(depthwise[0], len(depthwise))}, each with one range: "
            "folding scales its channels apart, and small ones round to zero.",
            remedy="Use a range for each output channel.",
            source="section 4.1, Table 3, Appendix C",
            severity="warning",
            sites=tuple(depthwise),
        )


def _undecided(result: PtqResult) -> Iterable[Advice]:
    best = next(row for row in result.rows if row.calibration == result.best)
    low = relative(result.fp32 + best.change_interval[0], result.fp32)
    samples = result.fp32_score.samples
    if best.relative >= -_TARGET > low:
        yield Advice(
            rule="undecided",
            symptom=f"Too few {result.words.samples} to be sure of {_TARGET:g} %.",
            evidence=f"On {samples:,} {result.words.samples} the best calibration changes "
            f"{metric_noun(result.metric)} by {best.relative:+.2f} %, but it "
            f"may be {low:+.2f} % (95 %).",
            remedy=f"Evaluate more: with {4 * samples:,} {result.words.samples} the interval is half as wide.",
            source="section 4, Table 5",
            severity="warning",
        )


def _ends(result: SensitivityResult) -> Iterable[Advice]:
    sites = result.coverage.sites
    top = {row.site: number for number, row in enumerate(result.rows[:3], 1)}
    for site, which in ((sites[0], "first"), (sites[-1], "last")):
        if site.name not in top or result.rows[0].divergence <= 0 or len(sites) < 4:
            continue
        row = next(row for row in result.rows if row.site == site.name)
        share = 100 * site.macs / max(result.coverage.macs, 1)
        yield Advice(
            rule=f"{which}-layer",
            symptom=f"The {which} layer is among the most sensitive.",
            evidence=f"{site.name} is number {top[site.name]} of {len(result.rows)}: quantized alone it changes "
            f"{metric_noun(result.metric)} by {row.relative:+.2f} %, and it has {share:.1f} % of the work.",
            remedy="Leave it in floating point: that costs little speed.",
            source="section 5.1, Fig. 3",
            sites=(site.name,),
        )


def _depthwise(result: SensitivityResult) -> Iterable[Advice]:
    depthwise = {site.name for site in result.coverage.sites if site.depthwise}
    top = [row.site for row in result.rows[:5]]
    found = [site for site in top if site in depthwise]
    if len(top) == 5 and len(found) >= 3 and len(depthwise) < 0.6 * len(result.rows):
        yield Advice(
            rule="depthwise-sensitive",
            symptom="Depthwise layers are the most sensitive.",
            evidence=f"{len(found)} of the 5 most sensitive layers are depthwise, of all layers "
            f"{100 * len(depthwise) / len(result.rows):.0f} %.",
            remedy="They have little of the work: leave the worst in floating point, or train (QAT).",
            source="section 5.1, Table 6",
            sites=tuple(found),
        )


def _ties(result: SensitivityResult) -> Iterable[Advice]:
    first = [row.site for row in result.rows if row.tie == result.rows[0].tie]
    if len(first) >= _TIED:
        samples = result.rows[0].samples
        yield Advice(
            rule="tied",
            symptom="The order at the top is not known.",
            evidence=f"{len(first)} layers share the first place: on {samples:,} {result.words.samples} their 95 % "
            "intervals overlap.",
            remedy=f"Evaluate more {result.words.samples}; {4 * samples:,} make the intervals half as wide.",
            source="section 5.1",
            sites=tuple(first),
        )


def more(first: str, count: int) -> str:
    """A name, and how many others there are."""
    return first if count == 1 else f"{first} and {count - 1} more"
