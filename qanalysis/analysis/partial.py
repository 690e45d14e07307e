"""Partial quantization: how few layers in floating point bring the accuracy back (section 5.1, Table 6)."""

import time
from pathlib import Path

from qanalysis.analysis import sensitivity
from qanalysis.analysis.measure import skipping
from qanalysis.analysis.measure.baseline import measured_baseline
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.progress import Report, silent
from qanalysis.schema.digest import digest
from qanalysis.schema.params.accuracy import PartialParams
from qanalysis.schema.results.sensitivity import PartialResult


def run(params: PartialParams, report: Report = silent, folder: Path | None = None) -> PartialResult:
    """Skips sites in the given order, or in the order of their sensitivity, which is then measured first.

    Raises:
        ValueError: with one sentence, for bad names, files or data, or a site that does not exist.
    """
    start = time.perf_counter()
    baseline = measured_baseline(params, report, Checkpoint(folder, digest("partial", params)))
    baseline.plan.skipping(*params.order).check([site.name for site in baseline.coverage.sites])
    order = tuple(site for site in params.order if baseline.plan.quantizes(site))
    if not order:
        measured = sensitivity.measure_sites(baseline, "only", params.rank).comparisons
        order = tuple(row.site for row in sensitivity.ranked(measured, baseline, params.rank, "only"))
    if params.search == "greedy":
        found = skipping.greedily(baseline, order, params.rank, params.width, params.most_skipped, params.target)
    else:
        found = skipping.in_order(baseline, order, params.most_skipped, params.target)
    chosen = found.steps[-1] if found.chosen is None else found.steps[found.chosen]
    return PartialResult(
        **baseline.setup.cards(),
        params=params,
        coverage=baseline.coverage,
        metric=baseline.setup.metric,
        fp32=baseline.fp32,
        quantized=found.steps[0].accuracy,
        order=order,
        partial=found,
        plan=baseline.plan.skipping(*chosen.skipped),
        seconds=time.perf_counter() - start,
    )
