"""Partial quantization: sites left in floating point one after the other, every step measured (Fig. 3, Table 6).

Losses of single sites do not add up, so each set of skipped sites is run. With the fully quantized forward recorded,
what lies before the first skipped site is replayed.
"""

from collections.abc import Sequence
from functools import partial

import torch

from qanalysis.analysis.measure.baseline import Baseline
from qanalysis.analysis.measure.comparison import Comparison, change, compare
from qanalysis.analysis.measure.evaluation import EvaluationBatch
from qanalysis.analysis.measure.recall import recall
from qanalysis.schema.params.accuracy import Rank
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.sensitivity import Partial, PartialStep


@torch.no_grad()
def in_order(
    baseline: Baseline,
    order: Sequence[str],
    most_skipped: int,
    target: float,
) -> Partial:
    """Skips none, then the first, the first two, and so on; all steps are measured together, batch by batch.

    Args:
        baseline: the baseline.
        order: sites to skip, the most sensitive first.
        most_skipped: how many to skip at the most.
        target: loss to accept, in % relative to fp32.
    """
    skips = [tuple(order[:count]) for count in range(min(most_skipped, len(order)) + 1)]
    names = [str(len(skip)) for skip in skips]
    plans = {name: baseline.plan.skipping(*skip) for name, skip in zip(names, skips, strict=True)}
    parts: dict[str, list[Comparison]] = {name: [] for name in names}
    result = Partial(search="order", steps=(), chosen=None, evaluations=len(skips))
    for batch in baseline.batches(f"{len(skips) - 1} skipped"):
        measure = partial(_measure_batch, baseline, baseline.plan, plans, batch)
        for name, comparison in recall(baseline.checkpoint, f"skipping-{batch.index:05d}", measure).comparisons.items():
            parts[name].append(comparison)
        steps = tuple(
            step(baseline, skip, Comparison.joined(parts[name])) for name, skip in zip(names, skips, strict=True)
        )
        result = Partial(search="order", steps=steps, chosen=first_within(steps, target), evaluations=len(skips))
        baseline.snapshot.update(partial=result.model_dump(mode="json"))
    return result


@torch.no_grad()
def greedily(
    baseline: Baseline,
    order: Sequence[str],
    rank: Rank,
    width: int,
    most_skipped: int,
    target: float,
) -> Partial:
    """Skips the site whose absence gains most, then asks again, until the target is met.

    In every step the first `width` sites of the ranking are tried; those tried move to the front of the ranking in the
    order of what they gave. Cost: `width` evaluations a step.

    Args:
        baseline: the baseline.
        order: the ranking to start from.
        rank: what counts as a gain: less divergence, or more accuracy.
        width: candidates per step.
        most_skipped: how many to skip at the most.
        target: loss to accept, in % relative to fp32.
    """
    ranking = list(order)
    skipped: tuple[str, ...] = ()
    measured = _evaluated(baseline, baseline.plan, {"": baseline.plan}, "none skipped")
    steps = [step(baseline, skipped, measured[""])]
    evaluations = 1
    while steps[-1].relative < -target and len(skipped) < most_skipped and ranking:
        current = baseline.plan.skipping(*skipped)
        tried = {site: current.skipping(site) for site in ranking[:width]}
        stage = f"skip {len(skipped) + 1}"
        measured = _evaluated(baseline, current, tried, stage)
        evaluations += len(tried)
        changes = {site: change(baseline.task, comparison) for site, comparison in measured.items()}
        by_gain = sorted(
            tried, key=lambda site: changes[site]["divergence"] if rank == "divergence" else -changes[site]["relative"]
        )
        skipped = (*skipped, by_gain[0])
        steps.append(step(baseline, skipped, measured[by_gain[0]]))
        ranking = [*by_gain[1:], *ranking[width:]]
        found = Partial(search="greedy", steps=tuple(steps), chosen=None, evaluations=evaluations)
        baseline.snapshot.update(partial=found.model_dump(mode="json"))
    chosen = first_within(tuple(steps), target)
    return Partial(search="greedy", steps=tuple(steps), chosen=chosen, evaluations=evaluations)


def step(baseline: Baseline, skipped: tuple[str, ...], comparison: Comparison) -> PartialStep:
    """One point of the curve."""
    share = baseline.int8_mac_share(baseline.plan.skipping(*skipped))
    return PartialStep(skipped=skipped, int8_mac_share=share, **change(baseline.task, comparison))


def first_within(steps: tuple[PartialStep, ...], target: float) -> int | None:
    """Number of the first step that loses `target` % relative or less; None if there is none."""
    return next((number for number, one in enumerate(steps) if one.relative >= -target), None)


def _evaluated(
    baseline: Baseline,
    base: Plan,
    plans: dict[str, Plan],
    stage: str,
) -> dict[str, Comparison]:
    """Several plans on all samples; each differs from `base` in some sites."""
    parts: dict[str, list[Comparison]] = {name: [] for name in plans}
    for batch in baseline.batches(stage):
        measure = partial(_measure_batch, baseline, base, plans, batch)
        for name, comparison in recall(baseline.checkpoint, f"{stage}-{batch.index:05d}", measure).comparisons.items():
            parts[name].append(comparison)
    return {name: Comparison.joined(some) for name, some in parts.items()}


def _measure_batch(
    baseline: Baseline, base: Plan, plans: dict[str, Plan], batch: EvaluationBatch
) -> tuple[dict[str, Comparison], int]:
    """Several plans on one batch, each replayed from the first site in which it differs from `base`."""
    replay = baseline.replay()
    recorded = replay.record(batch.inputs, baseline.quantized(base).compute)
    comparisons = {}
    for name, plan in plans.items():
        differs = [site for site in replay.sites if plan.at(site) != base.at(site)]
        output = replay.from_site(batch.inputs, differs[0], baseline.quantized(plan).compute) if differs else recorded
        comparisons[name] = compare(baseline.task, output, batch.reference)
    return comparisons, replay.kept_bytes
