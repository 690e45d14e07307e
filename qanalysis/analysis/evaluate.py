"""How good the model is in floating point: the baseline of everything else."""

import time
from pathlib import Path

from qanalysis import setup as setups
from qanalysis.analysis.measure.evaluation import Answering
from qanalysis.analysis.measure.progress import Report, silent
from qanalysis.analysis.measure.score import score
from qanalysis.schema.params.accuracy import EvaluateParams
from qanalysis.schema.results.accuracy import EvaluateResult


def run(params: EvaluateParams, report: Report = silent, folder: Path | None = None) -> EvaluateResult:
    """Measures the task's accuracy; without targets there is none, and the sites alone are returned.

    Raises:
        ValueError: with one sentence, for bad names, files or data.
    """
    start = time.perf_counter()
    setup = setups.load(params)
    fp32, details = None, {}
    if setup.labelled:
        statistics = Answering(setup, setup.model.module, params.evaluation_samples).statistics(report)
        fp32, details = score(setup.task, statistics), dict(setup.task.details(statistics))
    return EvaluateResult(
        **setup.cards(),
        params=params,
        coverage=setup.coverage,
        metric=setup.metric,
        fp32=fp32,
        details=details,
        seconds=time.perf_counter() - start,
    )
