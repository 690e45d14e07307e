"""Post-training quantization with several calibrations, from one pass over the calibration data (Tables 4 and 5)."""

import time
from pathlib import Path

from qanalysis import setup as setups
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.comparison import Comparison, sqnr
from qanalysis.analysis.measure.evaluation import Answering, compared
from qanalysis.analysis.measure.ground import OBSERVATIONS, calibrated, magnitudes, unreached_note
from qanalysis.analysis.measure.progress import Report, silent, staged
from qanalysis.analysis.measure.score import change_interval, score
from qanalysis.nn.quantized import QuantizedModel, QuantizedWeights
from qanalysis.numerics.change import relative
from qanalysis.schema.digest import digest
from qanalysis.schema.observations import ends
from qanalysis.schema.params.accuracy import PtqParams
from qanalysis.schema.results.accuracy import PtqResult, PtqRow
from qanalysis.setup import Setup
from qanalysis.tasks.task import Task


def run(params: PtqParams, report: Report = silent, folder: Path | None = None) -> PtqResult:
    """Measures fp32 and then every calibration on the same samples; with a folder, a killed run goes on from there.

    Raises:
        ValueError: with one sentence, for bad names, files, data, or a skipped site that does not exist.
    """
    start = time.perf_counter()
    checkpoint = Checkpoint(folder, digest("ptq", params))
    setup = setups.load(params)
    plan = params.checked_plan(setup.coverage)
    report = staged(report, _work(params, setup))
    kept = checkpoint.file(OBSERVATIONS)
    if kept is not None and kept.is_file():
        _read_through(setup, params)
    ground = calibrated(
        setup,
        plan,
        params.calibrations,
        params.calibration_samples,
        report,
        fold=params.fold_bn,
        checkpoint=checkpoint,
    )
    weights = QuantizedWeights()
    models = {name: QuantizedModel(ground.module, plan, table, weights) for name, table in ground.tables.items()}
    fp32 = Answering(setup, ground.module, params.evaluation_samples, memory_bytes=0)

    def tell(comparisons: dict[str, Comparison]) -> None:
        report("table", rows=[ptq_row(setup.task, *pair).model_dump() for pair in comparisons.items()])

    comparisons = compared(fp32, models, report, "evaluation", checkpoint, so_far=tell)
    rows = [ptq_row(setup.task, name, comparison) for name, comparison in comparisons.items()]
    for row in rows:
        report("row", **row.model_dump())
    unreached = {site for model in models.values() for site in model.unreached}
    fp32_score = score(setup.task, next(iter(comparisons.values())).reference_statistics)
    return PtqResult(
        **setup.cards(*unreached_note(unreached)),
        params=params,
        coverage=ground.coverage,
        metric=setup.metric,
        fp32=fp32_score.accuracy,
        fp32_score=fp32_score,
        rows=tuple(rows),
        best=max(rows, key=lambda row: (row.accuracy, row.sqnr or 0)).calibration,
        ranges={name: magnitudes(table) for name, table in ground.tables.items()},
        bounds={name: ends(table) for name, table in ground.tables.items()},
        sites=tuple({"name": s.name, "kind": s.kind, "macs": s.macs} for s in ground.coverage.sites),
        quantized_sites=ground.quantized_sites(),
        int8_mac_share=ground.int8_mac_share(),
        float_sites=ground.float_sites(),
        seconds=time.perf_counter() - start,
    )


def _work(params: PtqParams, setup: Setup) -> dict[str, float]:
    """The stages in forward passes: counting values and rounding them take about half of one more."""
    evaluation = min(params.evaluation_samples, len(setup.data.evaluation))
    calibration = min(params.calibration_samples, len(setup.data.calibration))
    return {"calibration": 1.5 * calibration, "evaluation": (1 + 1.5 * len(params.calibrations)) * evaluation}


def _read_through(setup: Setup, params: PtqParams) -> None:
    """Reads samples whose answers are known: the result has to name those that cannot be read."""
    for split, samples in (
        (setup.data.calibration, params.calibration_samples),
        (setup.data.evaluation, params.evaluation_samples),
    ):
        for _ in split.batches(params.batch_size, samples):
            pass


def ptq_row(task: Task, calibration: str, comparison: Comparison) -> PtqRow:
    """One line of Table 5."""
    measured = score(task, comparison.statistics)
    fp32 = task.accuracy_of(comparison.reference_statistics)
    return PtqRow(
        calibration=calibration,
        accuracy=measured.accuracy,
        relative=relative(measured.accuracy, fp32),
        standard_error=measured.standard_error,
        accuracy_interval=measured.accuracy_interval,
        change_interval=change_interval(task, comparison.statistics, comparison.reference_statistics),
        agreement=100 * float(comparison.same.mean()),
        sqnr=sqnr(comparison),
        details=dict(task.details(comparison.statistics)),
    )
