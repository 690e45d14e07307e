"""Which range each activation gets from each calibration (section 3.4, Fig. 2): one pass over the data for all."""

import time
from dataclasses import replace
from pathlib import Path

from torch import nn

from qanalysis import task as tasks
from qanalysis.analysis.measure.progress import Report, counted, silent
from qanalysis.insight.advice.ranges import of_calibration
from qanalysis.nn.fold import fold_batch_norm
from qanalysis.nn.observe import observe
from qanalysis.numerics.calibrate import parse
from qanalysis.schema.observations import Observations, RangeTable
from qanalysis.schema.params.accuracy import CalibrateParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.calibration import CalibrateResult
from qanalysis.task import Task

OBSERVATIONS = "observations.npz"


def run(params: CalibrateParams, report: Report = silent, folder: Path | None = None) -> CalibrateResult:
    """Observes all activations once and calibrates; with a folder, the histograms are kept there.

    Raises:
        ValueError: with one sentence, for bad names, files or data.
    """
    start = time.perf_counter()
    task = tasks.load(params)
    module = folded(task) if params.fold_bn else task.model.module
    observations = observed(task, module, params.calibration_samples, report)
    plan = Plan(activation_bits=params.bits, activation_scheme=params.activation_scheme)
    tables = range_tables(observations, params.calibrations, plan, report)
    if folder is not None:
        observations.save(folder / OBSERVATIONS)
    return CalibrateResult(
        **task.cards(),
        params=params,
        coverage=observations.coverage,
        ranges={name: magnitudes(table) for name, table in tables.items()},
        samples=observations.samples,
        advice=of_calibration(observations, {name: magnitudes(table) for name, table in tables.items()}, params.bits),
        observations=OBSERVATIONS if folder is not None else None,
        seconds=time.perf_counter() - start,
    )


def folded(task: Task) -> nn.Module:
    """The task's model with batch norm folded (Appendix C)."""
    return fold_batch_norm(task.model.module, task.example()).model


def observed(task: Task, module: nn.Module, samples: int, report: Report) -> Observations:
    """Observations of `module` on the calibration split.

    Raises:
        ValueError: if no sample could be read.
    """
    total = min(samples, len(task.data.calibration))
    seen = observe(module, counted(task.inputs(task.data.calibration, samples), report, "calibration", total))
    trained = task.model.trained_quantization
    return seen if trained is None else replace(seen, trained=trained.table())


def range_tables(
    observations: Observations, calibrations: tuple[str, ...], plan: Plan, report: Report
) -> dict[str, RangeTable]:
    """Ranges by calibration name."""
    report("progress", stage="ranges", done=0, total=len(calibrations))
    return {name: observations.ranges(parse(name), plan) for name in calibrations}


def magnitudes(table: RangeTable) -> dict[str, float | None]:
    """The largest magnitude of each range, by the tensor's key; None for an all-zero tensor."""
    return {str(tensor): None if range_ is None else range_.amax for tensor, range_ in table.ranges.items()}
