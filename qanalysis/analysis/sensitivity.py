"""Which site hurts: one quantized at a time, then the worst left in floating point (section 5.1, Fig. 3, Table 6).

The loop over sites runs inside the loop over batches: each batch is recorded once and replayed from every site on, so
that what lies before a site costs nothing (`nn.replay`). The numbers are those of the naive loop, bit for bit.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax

from qanalysis import task as tasks
from qanalysis.analysis.calibrate import observed, range_tables
from qanalysis.analysis.report import Report, counted, silent
from qanalysis.analysis.score import Answers, answers, paired_interval, relative, score, sqnr
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.nn.replay import Replay
from qanalysis.nn.sites import Call
from qanalysis.schema.observations import RangeTable
from qanalysis.schema.params import SensitivityParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.results import Partial, PartialStep, SensitivityResult, SensitivityRow
from qanalysis.schema.site import Coverage
from qanalysis.task import Task, logits


def run(params: SensitivityParams, report: Report = silent, folder: Path | None = None) -> SensitivityResult:
    """Measures every site on the same samples, and partial quantization in the order found.

    Raises:
        ValueError: with one sentence, for bad names, files, data, or a skipped site that does not exist.
    """
    start = time.perf_counter()
    task = tasks.load(params)
    plan = params.effective_plan()
    plan.check([site.name for site in task.coverage.sites])
    observations = observed(task, task.model.module, params.calibration_samples, report)
    table = range_tables(observations, (params.calibration,), plan, report)[params.calibration]
    coverage = observations.coverage
    began = time.perf_counter()
    reference = answers(task, task.model.module, params.evaluation_samples, report, "fp32")
    fp32_seconds = time.perf_counter() - began
    full = answers(task, QuantizedModel(task.model.module, plan, table), params.evaluation_samples, report, "all sites")
    fp32 = score(reference.hits(reference)).accuracy
    measured, site_seconds, kept_bytes = site_answers(task, params, plan, table, coverage, report)
    macs = {site.name: site.macs for site in coverage.sites}
    rows = [_row(site, given, reference, fp32, macs[site]) for site, given in measured.items()]
    rows.sort(key=lambda row: row.kl, reverse=params.mode == "only")
    for row in rows:
        report("row", **row.model_dump())
    partial = None
    if params.mode == "only":
        order = [row.site for row in rows]
        partial = _partial(task, params, plan, table, coverage, order, (reference, full), report)
    return SensitivityResult(
        **task.cards(),
        params=params,
        coverage=coverage,
        metric=task.metric,
        fp32=fp32,
        quantized=score(full.hits(reference)).accuracy,
        rows=tuple(rows),
        partial=partial,
        site_seconds=site_seconds,
        fp32_seconds=fp32_seconds,
        replayed_bytes=kept_bytes,
        seconds=time.perf_counter() - start,
    )


def site_answers(
    task: Task, params: SensitivityParams, plan: Plan, table: RangeTable, coverage: Coverage, report: Report
) -> tuple[dict[str, Answers], float, int]:
    """Answers by site, the seconds that took, and the most memory that recorded outputs took, in bytes."""
    start = time.perf_counter()
    module = task.model.module
    candidates = [site.name for site in coverage.sites if plan.quantizes(site.name)]
    plans = {site: plan.quantizing_only(site) if params.mode == "only" else plan.skipping(site) for site in candidates}
    models = {site: QuantizedModel(module, one, table) for site, one in plans.items()}
    base = Call.compute if params.mode == "only" else QuantizedModel(module, plan, table).compute
    outputs: dict[str, list[torch.Tensor]] = {site: [] for site in candidates}
    labels: list[torch.Tensor] = []
    split = task.data.evaluation
    total = min(params.evaluation_samples, len(split))
    most = 0
    batches = task.batches(split, params.evaluation_samples)
    with torch.no_grad():
        for inputs, targets in counted(batches, report, f"{len(candidates)} sites", total):
            replay = Replay(module, params.memory_mb * 2**20)
            replay.record(inputs, base)
            most = max(most, replay.kept_bytes)
            for site, model in models.items():
                outputs[site].append(logits(replay.from_site(inputs, site, model.compute)).float().cpu())
            if targets is not None:
                labels.append(targets)
    truth = torch.cat(labels).numpy() if labels and task.data.labelled else None
    found = {site: Answers(torch.cat(parts).numpy(), truth) for site, parts in outputs.items()}
    return found, time.perf_counter() - start, most


def divergence(quantized: Answers, reference: Answers) -> float:
    """Mean of KL(reference ‖ quantized) over the samples' class probabilities, in nats."""
    p, q = (log_softmax(given.logits.astype(np.float64), axis=1) for given in (reference, quantized))
    per_sample: NDArray[np.float64] = (np.exp(p) * (p - q)).sum(1)
    return max(0.0, float(per_sample.mean()))


def _row(site: str, given: Answers, reference: Answers, fp32: float, macs: int) -> SensitivityRow:
    return SensitivityRow(
        site=site,
        kl=divergence(given, reference),
        sqnr=sqnr(given, reference),
        macs=macs,
        **_loss(given, reference, fp32),
    )


def _loss(given: Answers, reference: Answers, fp32: float) -> dict[str, Any]:
    hits = given.hits(reference)
    accuracy = score(hits).accuracy
    return {
        "accuracy": accuracy,
        "relative": relative(accuracy, fp32),
        "interval": paired_interval(hits, reference.hits(reference)),
    }


def _partial(
    task: Task,
    params: SensitivityParams,
    plan: Plan,
    table: RangeTable,
    coverage: Coverage,
    order: list[str],
    known: tuple[Answers, Answers],
    report: Report,
) -> Partial:
    """Skips one more site at a time, the most sensitive first, until the loss is within the target."""
    reference, given = known
    fp32 = score(reference.hits(reference)).accuracy
    steps: list[PartialStep] = []
    for count in range(min(params.most_skipped, len(order)) + 1):
        partial = plan.skipping(*order[:count])
        if count:
            model = QuantizedModel(task.model.module, partial, table)
            given = answers(task, model, params.evaluation_samples, report, f"{count} skipped")
        quantized = sum(site.macs for site in coverage.sites if partial.quantizes(site.name))
        share = 100 * quantized / max(coverage.macs, 1)
        steps.append(PartialStep(skipped=tuple(order[:count]), int8_mac_share=share, **_loss(given, reference, fp32)))
        if steps[-1].relative >= -params.target:
            return Partial(steps=tuple(steps), chosen=count)
    return Partial(steps=tuple(steps), chosen=None)
