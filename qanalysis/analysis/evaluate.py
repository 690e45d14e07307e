"""How good the model is in floating point: the baseline of everything else."""

import time
from pathlib import Path

from qanalysis import task as tasks
from qanalysis.analysis.measure.progress import Report, silent
from qanalysis.analysis.measure.score import answers, score
from qanalysis.schema.params.accuracy import EvaluateParams
from qanalysis.schema.results.accuracy import EvaluateResult


def run(params: EvaluateParams, report: Report = silent, folder: Path | None = None) -> EvaluateResult:
    """Measures top-1 accuracy; without labels there is none, and the sites alone are returned.

    Raises:
        ValueError: with one sentence, for bad names, files or data.
    """
    start = time.perf_counter()
    task = tasks.load(params)
    fp32 = None
    if task.data.labelled:
        given = answers(task, task.model.module, params.evaluation_samples, report, "fp32")
        fp32 = score(given.hits(given))
    return EvaluateResult(
        **task.cards(),
        params=params,
        coverage=task.coverage,
        metric=task.metric,
        fp32=fp32,
        seconds=time.perf_counter() - start,
    )
