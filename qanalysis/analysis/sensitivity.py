"""Which site hurts: one quantized at a time, or all but one (section 5.1, Fig. 3).

The loop over sites runs inside the loop over batches: each batch is recorded once and replayed from every site on, so
that what lies before a site costs nothing (`nn.replay`), and all sites are known roughly after the first batch and
better after each. The numbers are those of the naive loop, bit for bit.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from qanalysis.analysis.measure import skipping
from qanalysis.analysis.measure.baseline import Baseline, measured_baseline
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.comparison import Comparison, change, compare
from qanalysis.analysis.measure.evaluation import EvaluationBatch
from qanalysis.analysis.measure.ground import unreached_note
from qanalysis.analysis.measure.progress import Report, silent
from qanalysis.analysis.measure.proxies import proxies
from qanalysis.analysis.measure.recall import recall
from qanalysis.analysis.measure.score import change_interval
from qanalysis.schema.digest import digest
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.accuracy import Rank, SensitivityMode, SensitivityParams
from qanalysis.schema.results.sensitivity import SensitivityResult, SensitivityRow
from qanalysis.tasks.task import Task

#: Key of the plan with all sites quantized, among the sites.
ALL = ""
#: A site may be called harmless from this many samples on, and only this many standard errors away from the limit: it
#: is asked after every batch, and would pass by luck some time.
_ENOUGH, _SURE = 256, 3.0
#: Seconds between two tables of what is known, where intervals are made by leaving samples out.
_TELL_EVERY = 5.0


@dataclass
class Measured:
    """What the loop over sites found.

    Attributes:
        comparisons: by site, and under `ALL` with every site quantized.
        stopped: sites not measured further, and why.
        seconds: time of the loop, earlier attempts included.
        kept_bytes: most memory that recorded outputs took.
        unreached: sites met here that calibration never reached.
    """

    comparisons: dict[str, Comparison]
    stopped: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    kept_bytes: int = 0
    unreached: set[str] = field(default_factory=set)


def run(params: SensitivityParams, report: Report = silent, folder: Path | None = None) -> SensitivityResult:
    """Measures every site on the same samples, and partial quantization in the order found.

    With a folder, what has been measured is kept there, and a run that was killed goes on from it.

    Raises:
        UserError: with one sentence, for bad names, files, data, or a skipped site that does not exist.
    """
    start = time.perf_counter()
    baseline = measured_baseline(params, report, Checkpoint(folder, digest("sensitivity", params)))
    measured = measure_sites(baseline, params.mode, params.rank, params.harmless)
    rows = ranked(measured.comparisons, baseline, params.rank, params.mode)
    steps = None
    if params.mode == "only":
        order = [row.site for row in rows]
        steps = skipping.in_order(baseline, order, params.most_skipped, params.target)
    scores = proxies(baseline, rows) if params.proxies and params.mode == "only" else ()
    return SensitivityResult(
        **baseline.setup.cards(*unreached_note(measured.unreached), *_no_effect(measured.comparisons)),
        params=params,
        coverage=baseline.coverage,
        metric=baseline.setup.metric,
        fp32=baseline.fp32,
        quantized=change(baseline.task, measured.comparisons[ALL])["accuracy"],
        rows=tuple(rows),
        stopped=measured.stopped,
        partial=steps,
        proxies=scores,
        float_sites=baseline.float_sites(),
        seconds=time.perf_counter() - start,
        sites_seconds=measured.seconds,
        fp32_seconds=baseline.fp32_seconds,
        replayed_bytes=measured.kept_bytes,
    )


@torch.no_grad()
def measure_sites(baseline: Baseline, mode: SensitivityMode, rank: Rank, harmless: float = 0.0) -> Measured:
    """The loop over sites: every one on every batch, or until it is known to be harmless.

    Raises:
        UserError: if the plan quantizes no site.
    """
    active = list(baseline.quantized_sites())
    if not active:
        raise UserError("The plan quantizes no site, so there is nothing to compare; skip fewer.")
    plan = baseline.plan
    plans = {site: plan.quantizing_only(site) if mode == "only" else plan.skipping(site) for site in active}
    models = {site: baseline.quantized(one) for site, one in plans.items()}
    whole = baseline.quantized(plan)

    def measure_batch(batch: EvaluationBatch, sites: Sequence[str]) -> tuple[dict[str, Comparison], int]:
        replay = baseline.replay()
        if mode == "only":
            replay.record(batch.inputs)
            everything = baseline.task.measured(whole, batch.inputs)
        else:
            everything = replay.record(batch.inputs, whole.compute)
        outputs = {site: replay.from_site(batch.inputs, site, models[site].compute) for site in sites}
        return {
            what: compare(baseline.task, output, batch.reference)
            for what, output in {ALL: everything, **outputs}.items()
        }, replay.kept_bytes

    parts: dict[str, list[Comparison]] = {site: [] for site in (ALL, *active)}
    found = Measured({})
    told = 0.0
    for batch in baseline.batches(f"{len(active)} sites"):
        recalled = recall(baseline.checkpoint, f"sites-{batch.index:05d}", partial(measure_batch, batch, active))
        found.seconds += recalled.seconds
        found.kept_bytes = max(found.kept_bytes, recalled.kept_bytes)
        for site, comparison in recalled.comparisons.items():
            parts[site].append(comparison)
        found.unreached |= whole.unreached
        found.comparisons = {site: Comparison.joined(some) for site, some in parts.items()}
        if baseline.task.smooth or time.monotonic() - told > _TELL_EVERY:
            baseline.snapshot.update(**table(found.comparisons, baseline, rank, mode))
            told = time.monotonic()
        if harmless:
            several = len(batch.reference.outputs) > 1
            reasons = {site: _harmless(baseline.task, found.comparisons[site], harmless, several) for site in active}
            found.stopped.update({site: reason for site, reason in reasons.items() if reason})
            active = [site for site in active if not reasons[site]]
    return found


def table(
    comparisons: Mapping[str, Comparison], baseline: Baseline, rank: Rank, mode: SensitivityMode
) -> dict[str, object]:
    """What is known so far, for a page that watches: rows in order, accuracy in fp32 and with all sites quantized."""
    everything = comparisons[ALL]
    return {
        "rows": [row.model_dump(mode="json") for row in ranked(comparisons, baseline, rank, mode)],
        "fp32": baseline.task.accuracy_of(everything.reference_statistics),
        "quantized": baseline.task.accuracy_of(everything.statistics),
        "samples": len(everything),
    }


def ranked(
    comparisons: Mapping[str, Comparison], baseline: Baseline, rank: Rank, mode: SensitivityMode
) -> list[SensitivityRow]:
    """Rows with the most sensitive site first, ties marked.

    With `mode` only that is the site that alone loses most, with without the one whose absence gains most.
    """
    macs = {site.name: site.macs for site in baseline.coverage.sites}
    changes = {site: change(baseline.task, comparison) for site, comparison in comparisons.items() if site != ALL}
    sign = -1 if mode == "only" else 1
    if rank == "divergence":
        order = sorted(changes, key=lambda site: sign * changes[site]["divergence"])
    else:  # equal accuracies, frequent with few samples, in the order of divergence
        order = sorted(
            changes, key=lambda site: (-sign * changes[site]["relative"], sign * changes[site]["divergence"])
        )
    ties = tied([changes[site]["divergence_interval" if rank == "divergence" else "change_interval"] for site in order])
    return [
        SensitivityRow(site=site, macs=macs[site], tie=tie, **changes[site])
        for site, tie in zip(order, ties, strict=True)
    ]


def tied(intervals: list[tuple[float, float]]) -> list[int]:
    """Number of the group of every interval: a group is a run of those that overlap with its first."""
    groups: list[int] = []
    first = (0.0, 0.0)
    for low, high in intervals:
        if not groups or low > first[1] or high < first[0]:
            first = (low, high)
            groups.append(groups[-1] + 1 if groups else 0)
        else:
            groups.append(groups[-1])
    return groups


def _no_effect(comparisons: Mapping[str, Comparison]) -> tuple[str, ...]:
    """What to tell of sites whose quantization changed not one bit of what is measured: they look harmless."""
    names = [site for site, comparison in comparisons.items() if site != ALL and not comparison.noise.any()]
    if not names or len(names) == len(comparisons) - 1:
        return ()
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return (f"Quantizing {names[0]}{more} changed nothing in any output: no sample took a way on which it matters.",)


def _harmless(task: Task, comparison: Comparison, limit: float, several: bool) -> str:
    """Why a site need not be measured further; empty if it must.

    Args:
        task: says what accuracy is.
        comparison: of the network with the site quantized.
        limit: points of accuracy.
        several: whether the network has several outputs: accuracy may look at one that the site does not feed.
    """
    if len(comparison) < _ENOUGH or (several and comparison.same.all() and comparison.noise.any()):
        return ""
    low, _ = change_interval(task, comparison.statistics, comparison.reference_statistics, _SURE)
    if low <= -limit:
        return ""
    return f"after {len(comparison):,} samples it loses less than {limit:g} points ({_SURE:g} standard errors away)"
