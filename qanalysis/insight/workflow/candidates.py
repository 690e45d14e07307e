"""Candidates of the workflow: the quantized networks that its stages give."""

from pathlib import Path

from qanalysis.schema.params.workflow import WorkflowParams
from qanalysis.schema.results.accuracy import PtqResult
from qanalysis.schema.results.common import Result
from qanalysis.schema.results.qat import QatResult
from qanalysis.schema.results.sensitivity import PartialResult, PartialStep, SensitivityResult
from qanalysis.schema.results.workflow import Candidate, Way
from qanalysis.schema.saved_plan import SavedPlan
from qanalysis.schema.site import Coverage

#: Name of the plan that is recommended.
NAME = "recommended"


def after_ptq(params: WorkflowParams, result: PtqResult) -> Candidate:
    """All sites quantized, under the best calibration."""
    best = next(row for row in result.rows if row.calibration == result.best)
    return Candidate(
        way="ptq",
        model=params.model,
        plan=SavedPlan.of(NAME, params.model, result.coverage, result.best, params.effective_plan()),
        skipped=tuple(result.float_sites),
        fp32=result.fp32,
        accuracy=best.accuracy,
        relative=best.relative,
        change_interval=best.change_interval,
        samples=result.fp32_score.samples,
        int8_mac_share=result.int8_mac_share,
    )


def after_partial(
    params: WorkflowParams, first: Candidate, result: PartialResult | SensitivityResult
) -> Candidate | None:
    """The first step within the target that keeps enough work in integers, else the best of those that do."""
    partial = result.partial
    assert partial is not None
    allowed = [step for step in partial.steps if step.skipped and step.int8_mac_share >= params.least_int8]
    if not allowed:
        return None
    chosen = next((step for step in allowed if step.relative >= -params.target), None)
    chosen = chosen or max(allowed, key=lambda step: step.relative)
    return _of_step(params, first, result.coverage, result.fp32, chosen)


def after_qat(params: WorkflowParams, result: Result | None, folder: Path | None) -> Candidate | None:
    """The trained network; None where there is none."""
    if not isinstance(result, QatResult):
        return None
    kept = folder is not None and result.checkpoint is not None
    model = f"checkpoint:{folder / result.checkpoint}" if folder and result.checkpoint else params.model
    return Candidate(
        way="qat",
        model=model,
        plan=SavedPlan.of(NAME, model, result.coverage, "trained" if kept else result.calibration, result.plan),
        skipped=tuple(result.float_sites),
        fp32=result.fp32.accuracy,
        accuracy=result.qat.accuracy,
        relative=result.qat.relative,
        change_interval=result.qat.change_interval,
        samples=result.qat.samples,
        int8_mac_share=share(result.coverage, frozenset(result.float_sites)),
    )


def share(coverage: Coverage, floats: frozenset[str]) -> float:
    """Share of multiply-accumulates outside these sites, in %."""
    return 100 * sum(site.macs for site in coverage.sites if site.name not in floats) / max(coverage.macs, 1)


def _of_step(params: WorkflowParams, first: Candidate, coverage: Coverage, fp32: float, step: PartialStep) -> Candidate:
    way: Way = "partial"
    plan = params.effective_plan().skipping(*step.skipped)
    return Candidate(
        way=way,
        model=params.model,
        plan=SavedPlan.of(NAME, params.model, coverage, first.plan.calibration, plan),
        skipped=(*first.skipped, *step.skipped),
        fp32=fp32,
        accuracy=step.accuracy,
        relative=step.relative,
        change_interval=step.change_interval,
        samples=step.samples,
        int8_mac_share=step.int8_mac_share,
    )
