"""The paper's workflow as one run: PTQ, partial quantization, QAT, until the target is met (section 6, Fig. 5)."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qanalysis.analysis.checkpoint import Checkpoint
from qanalysis.analysis.report import Report, silent
from qanalysis.analysis.workflow_walk import Walk
from qanalysis.schema import advice_rules
from qanalysis.schema.accuracy import EvaluateResult, PtqResult
from qanalysis.schema.benchmark import BenchmarkResult
from qanalysis.schema.digest import digest
from qanalysis.schema.export import ExportResult
from qanalysis.schema.qat import QatResult
from qanalysis.schema.sensitivity import PartialResult, SensitivityResult
from qanalysis.schema.workflow import WorkflowResult
from qanalysis.schema.workflow_end import recommendation
from qanalysis.schema.workflow_params import WorkflowParams
from qanalysis.schema.workflow_steps import Ending, Step, deploy, follow


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
        advice=advice_rules.of_workflow(known.results),
        seconds=seconds,
    )
