"""Trials: plans measured at once, one after the other, by a process that keeps everything ready between them.

The evaluation samples are run once under the plan that the parameters describe, and what its modules returned is kept
as far as memory allows. A plan that differs from it only in some sites is then computed from the first of these on.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from qanalysis.analysis.measure.baseline import Baseline, measured_baseline
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.comparison import Comparison, change, compare
from qanalysis.analysis.measure.evaluation import EvaluationBatch
from qanalysis.analysis.measure.progress import Report, silent
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.nn.replay import Replay
from qanalysis.numerics.calibrate import parse
from qanalysis.schema.errors import UserError, sentence
from qanalysis.schema.observations import RangeTable
from qanalysis.schema.params.accuracy import TrialsParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.sensitivity import Trial, TrialsResult
from qanalysis.schema.size import fp32_bytes, plan_bytes

_LOOK_SECONDS = 0.05


@runtime_checkable
class Desk(Protocol):
    """A report that also hands in questions. An answer is a row: a trial, or `digest` and the sentence `refused`."""

    def questions(self) -> Sequence[Plan]:
        """Plans asked for and not answered yet, in the order of asking."""
        ...


def run(params: TrialsParams, report: Report = silent, folder: Path | None = None) -> TrialsResult:
    """Measures the plans that the report asks for, until it has not asked for a while; none where it never asks.

    Raises:
        UserError: with one sentence, for bad names, files or data.
    """
    start = time.perf_counter()
    baseline = measured_baseline(params, report, Checkpoint(None))
    trials = Trials(baseline)
    rows: dict[str, Trial] = {}
    report("progress", stage="ready for plans", done=baseline.samples, total=baseline.samples)
    quiet_since = time.monotonic()
    while isinstance(report, Desk) and time.monotonic() - quiet_since < params.idle_seconds:
        for plan in report.questions():
            try:
                rows[plan.digest] = row = trials.measure(plan)
                report("row", **row.model_dump(mode="json"))
            except UserError as error:  # a plan of another model: this question is at fault, not the job
                report("row", digest=plan.digest, refused=sentence(error))
            quiet_since = time.monotonic()
        time.sleep(_LOOK_SECONDS)
    cards = baseline.setup.cards()
    return TrialsResult(
        **cards,
        params=params,
        coverage=baseline.coverage,
        metric=baseline.setup.metric,
        fp32=baseline.fp32,
        rows=tuple(rows.values()),
        fp32_bytes=fp32_bytes(cards["model"].parameters),
        seconds=time.perf_counter() - start,
    )


class Trials:
    """Measures plans of one baseline from its recorded forward passes."""

    def __init__(self, baseline: Baseline) -> None:
        self._baseline = baseline
        self._recorded: list[tuple[EvaluationBatch, Replay, Any]] = []
        parameters = baseline.setup.model.module.parameters()
        self._parameters = sum(parameter.numel() for parameter in parameters)
        self._record()

    @torch.no_grad()
    def measure(self, plan: Plan) -> Trial:
        """What the plan does to the answers.

        Raises:
            ValueError: if it names a site that the model does not have.
        """
        began = time.perf_counter()
        baseline = self._baseline
        plan.check([site.name for site in baseline.coverage.sites])
        differs = {site.name for site in baseline.coverage.sites if plan.at(site.name) != baseline.plan.at(site.name)}
        model = QuantizedModel(baseline.setup.model.module, plan, self._ranges(plan, differs), baseline.weights)
        floats = baseline.float_sites(plan)
        first = None
        parts = []
        for batch, replay, recorded in self._recorded:
            first = next((site for site in replay.sites if site in differs), None)
            output = recorded if first is None else replay.from_site(batch.inputs, first, model.compute)
            parts.append(compare(baseline.task, output, batch.reference))
        return Trial(
            **change(baseline.task, Comparison.joined(parts)),
            plan=plan,
            digest=plan.digest,
            int8_mac_share=baseline.int8_mac_share(plan),
            model_bytes=plan_bytes(plan.skipping(*floats), baseline.coverage, self._parameters),
            computed_from=first,
            milliseconds=1e3 * (time.perf_counter() - began),
        )

    @torch.no_grad()
    def _record(self) -> None:
        baseline = self._baseline
        whole = baseline.quantized(baseline.plan)
        batches = list(baseline.batches("samples"))
        each = baseline.memory_bytes // max(len(batches), 1)
        for batch in batches:
            replay = baseline.replay(each)
            self._recorded.append((batch, replay, replay.record(batch.inputs, whole.compute)))

    def _ranges(self, plan: Plan, differs: set[str]) -> RangeTable:
        """The baseline's ranges, and those of the sites at which this plan does something else."""
        baseline = self._baseline
        ranges = dict(baseline.ranges.ranges)
        calibration = parse(baseline.ranges.calibration)
        for tensor in baseline.observations.histograms:
            if tensor.site in differs:
                ranges[tensor] = baseline.observations.range(tensor, calibration, plan)
        return RangeTable(baseline.ranges.calibration, ranges)
