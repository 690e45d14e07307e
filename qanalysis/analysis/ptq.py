"""Post-training quantization with several calibrations, from one pass over the calibration data (Tables 4 and 5)."""

import time
from functools import partial
from pathlib import Path

from qanalysis import task as tasks
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.ground import OBSERVATIONS, calibrated, magnitudes, unreached_note
from qanalysis.analysis.measure.progress import Report, silent, staged
from qanalysis.analysis.measure.score import Outputs, answers, paired_interval, score, sqnr
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.numerics.change import relative
from qanalysis.schema.digest import digest
from qanalysis.schema.observations import ends
from qanalysis.schema.params.accuracy import PtqParams
from qanalysis.schema.results.accuracy import PtqResult, PtqRow
from qanalysis.task import Task


def run(params: PtqParams, report: Report = silent, folder: Path | None = None) -> PtqResult:
    """Measures fp32 and then every calibration on the same samples; with a folder, a killed run goes on from there.

    Raises:
        ValueError: with one sentence, for bad names, files, data, or a skipped site that does not exist.
    """
    start = time.perf_counter()
    checkpoint = Checkpoint(folder, digest("ptq", params))
    task = tasks.load(params)
    plan = params.checked_plan(task.coverage)
    report = staged(report, _work(params, task))
    kept = checkpoint.file(OBSERVATIONS)
    if kept is not None and kept.is_file():
        _read_through(task, params)
    ground = calibrated(
        task,
        plan,
        params.calibrations,
        params.calibration_samples,
        report,
        fold=params.fold_bn,
        checkpoint=checkpoint,
    )
    measure = partial(answers, task, samples=params.evaluation_samples, report=report, checkpoint=checkpoint)
    reference = measure(ground.module, stage="fp32")
    fp32 = score(reference.hits(reference))
    rows, unreached = [], set[str]()
    for name, table in ground.tables.items():
        quantized = QuantizedModel(ground.module, plan, table)
        row = _row(name, measure(quantized, stage=name), reference, fp32.accuracy)
        report("row", **row.model_dump())
        unreached |= quantized.unreached
        rows.append(row)
    return PtqResult(
        **task.cards(*unreached_note(unreached)),
        params=params,
        coverage=ground.coverage,
        metric=task.metric,
        fp32=fp32.accuracy,
        fp32_score=fp32,
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


def _work(params: PtqParams, task: Task) -> dict[str, float]:
    """The stages in forward passes: counting values and rounding them take about half of one more."""
    evaluation = min(params.evaluation_samples, len(task.data.evaluation))
    calibration = min(params.calibration_samples, len(task.data.calibration))
    return {
        "calibration": 1.5 * calibration,
        "fp32": evaluation,
        **dict.fromkeys(params.calibrations, 1.5 * evaluation),
    }


def _read_through(task: Task, params: PtqParams) -> None:
    """Reads samples whose answers are known: the result has to name those that cannot be read."""
    for split, samples in (
        (task.data.calibration, params.calibration_samples),
        (task.data.evaluation, params.evaluation_samples),
    ):
        for _ in split.batches(params.batch_size, samples):
            pass


def _row(calibration: str, quantized: Outputs, reference: Outputs, fp32: float) -> PtqRow:
    hits = quantized.hits(reference)
    measured = score(hits)
    return PtqRow(
        calibration=calibration,
        accuracy=measured.accuracy,
        relative=relative(measured.accuracy, fp32),
        standard_error=measured.standard_error,
        accuracy_interval=measured.accuracy_interval,
        change_interval=paired_interval(hits, reference.hits(reference)),
        agreement=100 * float((quantized.predictions == reference.predictions).mean()),
        sqnr=sqnr(quantized, reference),
    )
