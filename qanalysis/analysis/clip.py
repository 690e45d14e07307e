"""GELU and Swish clipped, then quantized with max calibration, beside the network as it is (Appendix D, Table 12)."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from qanalysis import setup as setups
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.comparison import Comparison
from qanalysis.analysis.measure.evaluation import Answering, compared
from qanalysis.analysis.measure.ground import calibrated
from qanalysis.analysis.measure.progress import Report, silent
from qanalysis.analysis.measure.score import score
from qanalysis.analysis.ptq import ptq_row
from qanalysis.names import with_clip, without_clip
from qanalysis.nn.clip import clipped
from qanalysis.nn.quantized import QuantizedModel, QuantizedWeights
from qanalysis.schema.digest import digest
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.accuracy import ClipParams
from qanalysis.schema.results.clip import FLOAT, ClipResult, ClipRow
from qanalysis.setup import Setup
from qanalysis.tasks.task import Task

#: Rows by name, and what they are: the calibration, and whether the network is clipped.
_Rows = Mapping[str, tuple[str, bool]]


def run(params: ClipParams, report: Report = silent, folder: Path | None = None) -> ClipResult:
    """Measures every calibration on the network as it is, and max calibration on the clipped one; fp32 of both.

    Raises:
        UserError: with one sentence, for bad names, files, data, or a network without GELU and Swish.
    """
    start = time.perf_counter()
    if without_clip(params.model)[1] is not None:
        raise UserError(f"{params.model} is clipped already; name the network as it is, without clip.")
    checkpoint = Checkpoint(folder, digest("clip", params))
    setup = setups.load(params)
    if not setup.activations:
        raise UserError(f"{setup.model.name} has neither GELU nor Swish, so there is nothing to clip.")
    plan = params.checked_plan(setup.coverage)
    ground = calibrated(setup, plan, params.calibrations, params.calibration_samples, report, fold=params.fold_bn)
    cut = _clipped(setup, params.at)
    cut_ground = calibrated(cut, plan, ("max",), params.calibration_samples, report, fold=params.fold_bn)
    weights = QuantizedWeights()
    models = {name: QuantizedModel(ground.module, plan, table, weights) for name, table in ground.tables.items()}
    rows: _Rows = {
        **{name: (name, False) for name in models},
        "clipped fp32": (FLOAT, True),
        "clipped max": ("max", True),
    }
    cut_max = QuantizedModel(cut_ground.module, plan, cut_ground.ranges, None if params.fold_bn else weights)
    named = dict(zip(rows, (*models.values(), cut_ground.module, cut_max), strict=True))
    fp32 = Answering(setup, ground.module, params.evaluation_samples, memory_bytes=0)

    def tell(comparisons: dict[str, Comparison]) -> None:
        report("table", rows=[row.model_dump() for row in _rows(setup.task, rows, comparisons)])

    comparisons = compared(fp32, named, report, "evaluation", checkpoint, so_far=tell)
    fp32_score = score(setup.task, next(iter(comparisons.values())).reference_statistics)
    measured = _rows(setup.task, rows, comparisons)
    for row in measured:
        report("row", **row.model_dump())
    return ClipResult(
        **setup.cards(),
        params=params,
        metric=setup.metric,
        fp32=fp32_score.accuracy,
        fp32_score=fp32_score,
        rows=measured,
        clipped_model=cut.model.name,
        seconds=time.perf_counter() - start,
    )


def _clipped(setup: Setup, limit: float) -> Setup:
    name = with_clip(setup.model.name, limit)
    return replace(setup, model=replace(setup.model, name=name, module=clipped(setup.model.module, limit)))


def _rows(task: Task, rows: _Rows, comparisons: Mapping[str, Comparison]) -> tuple[ClipRow, ...]:
    made = []
    for name, comparison in comparisons.items():
        calibration, is_clipped = rows[name]
        made.append(ClipRow(**dict(ptq_row(task, calibration, comparison)), clipped=is_clipped))
    return tuple(made)
