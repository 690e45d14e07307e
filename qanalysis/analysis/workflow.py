"""The paper's workflow as one run: PTQ, partial quantization, QAT, until the target is met (section 6, Fig. 5)."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.progress import Report, silent
from qanalysis.analysis.workflow_walk import Walk
from qanalysis.insight.advice import results
from qanalysis.insight.workflow.end import recommendation
from qanalysis.insight.workflow.steps import Ending, Step, deploy, follow
from qanalysis.schema.digest import digest
from qanalysis.schema.params.workflow import WorkflowParams
from qanalysis.schema.results.accuracy import EvaluateResult, PtqResult
from qanalysis.schema.results.benchmark import BenchmarkResult
from qanalysis.schema.results.export import ExportResult
from qanalysis.schema.results.qat import QatResult
from qanalysis.schema.results.sensitivity import PartialResult, SensitivityResult
from qanalysis.schema.results.workflow import WorkflowResult


def run(params: WorkflowParams, report: Report = silent, folder: Path | None = None) -> WorkflowResult:
    """Follows the chart until a network is within the target, or nothing is left to try, or no time.

    With a folder, every stage is kept in it: a killed run goes on within the stage where it was, and stages that the
    report knows from elsewhere (`workflow_walk.Shelf`) are not done again.

    Raises:
        ValueError: with one sentence, for bad names, files or data, or a plan of another model.
        OSError: if the disk is full.
    """
    start = time.perf_counter()
    with _place(folder) as place:
        walk = Walk(params, report, place, folder is not None, Checkpoint(folder, digest("workflow", params)))
        ending = _searched(params, walk)
        while (step := deploy(params, walk.known, ending.best)) is not None:
            walk.take(step)
        return _result(params, walk, ending, time.perf_counter() - start, kept=folder is not None)


def _searched(params: WorkflowParams, walk: Walk) -> Ending:
    while isinstance(step := follow(params, walk.known), Step):
        walk.take(step)
    return step


@contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    """The folder, or one that is gone afterwards: QAT hands its network on as a file."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="qanalysis-workflow-") as place:
        yield Path(place)


def _result(params: WorkflowParams, walk: Walk, ending: Ending, seconds: float, kept: bool) -> WorkflowResult:
    known = walk.known
    baseline, ptq = known.of("baseline", EvaluateResult), known.of("ptq", PtqResult)
    assert baseline is not None
    assert ptq is not None
    given = recommendation(params, known.results, known.refused, ending.end, ending.best, ending.reason)
    if ending.best.way == "qat" and not kept:
        note = "The trained network was not kept: run the workflow with a folder."
        given = given.model_copy(update={"notes": (*given.notes, note)})
    return WorkflowResult(
        environment=ptq.environment,
        model=ptq.model,
        data=ptq.data,
        warnings=ptq.warnings,
        params=params,
        coverage=baseline.coverage,
        metric=ptq.metric,
        fp32=ptq.fp32,
        stages=walk.notes(),
        recommendation=given,
        baseline=baseline,
        ptq=ptq,
        sensitivity=known.of("sensitivity", SensitivityResult),
        partial=known.of("partial", PartialResult),
        qat=known.of("qat", QatResult),
        benchmark=known.of("benchmark", BenchmarkResult),
        export=known.of("export", ExportResult),
        advice=results.of_workflow(known.results),
        seconds=seconds,
    )
