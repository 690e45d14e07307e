"""The paper's workflow as one run: PTQ, partial quantization, QAT, until the target is met (section 6, Fig. 5)."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from qanalysis.analysis.measure import checkpoint
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.progress import Report, silent
from qanalysis.insight.advice import results
from qanalysis.insight.headline import headline
from qanalysis.insight.workflow.end import recommendation
from qanalysis.insight.workflow.steps import LEAST_TRAINING, Ending, Known, Step, deploy, follow
from qanalysis.schema.analyses import ANALYSES
from qanalysis.schema.digest import digest
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.task import TaskParams
from qanalysis.schema.params.workflow import WorkflowParams
from qanalysis.schema.results.accuracy import EvaluateResult, PtqResult
from qanalysis.schema.results.benchmark import BenchmarkResult
from qanalysis.schema.results.common import Result
from qanalysis.schema.results.export import ExportResult
from qanalysis.schema.results.qat import QatResult
from qanalysis.schema.results.sensitivity import PartialResult, SensitivityResult
from qanalysis.schema.results.workflow import Stage, StageNote, WorkflowResult

RESULT = "result.json"
STAGES = "stages"
#: Share of the time that is left to measuring and writing what is recommended, and how many minutes at the most.
_RESERVE, _MOST_RESERVED = 0.2, 1.0
#: Share of the time that is left that goes into steps of training; the rest measures the network between epochs.
_TRAINING = 0.7
#: Stages without which there is nothing to recommend; of others an error is a reason to go on without them.
_NEEDED = frozenset({"baseline", "ptq"})
_ORDER: tuple[Stage, ...] = ("baseline", "ptq", "sensitivity", "partial", "speed", "qat", "benchmark", "export")


@runtime_checkable
class Shelf(Protocol):
    """A report that also keeps results of single analyses: stages are found there by the pages, and the other way."""

    def found(self, analysis: str, params: TaskParams) -> Path | None:
        """Folder of a finished run with just these parameters, if there is one."""
        ...

    def keep(self, analysis: str, params: TaskParams, folder: Path, seconds: float) -> Path:
        """Takes a finished run over, with the files in its folder; returns where they are now, too."""
        ...


class TimeIsUpError(Exception):
    """The time of the workflow is used up; what the stage measured is kept."""


class Walk:
    """A run through the workflow: each stage is run once, kept, and known from then on."""

    def __init__(
        self, params: WorkflowParams, report: Report, place: Path, kept: bool, checkpoint_: Checkpoint
    ) -> None:
        self._params = params
        self._report = report
        self._place = place
        self._kept = kept
        self._checkpoint = checkpoint_
        self._notes: dict[Stage, StageNote] = {}
        self._told: dict[str, Any] = {}
        before = checkpoint_.get("spent")
        self._before = 0.0 if before is None else float(before["seconds"])
        self._began = time.monotonic()
        training = checkpoint_.get("training")
        self.known = Known(training_minutes=None if training is None else float(training["minutes"]) or None)

    def take(self, step: Step) -> None:
        """Does a step, or finds that it was done; `known` then has its result or why there is none."""
        began = time.monotonic()
        if step.stage == "qat" and self._params.minutes and self._params.epochs is None:
            given = self._with_time(step)
            if given is None:
                self._refuse(step.stage, f"The {self._params.minutes:g} minutes were used up before training began.")
                return
            step = given
        folder = self._place / STAGES / f"{step.analysis}-{digest(step.analysis, step.params)[:12]}"
        known = self._found(step, folder)
        if known is None:
            try:
                place, result = self._run(step, folder)
            except TimeIsUpError:
                self._refuse(step.stage, f"The {self._params.minutes:g} minutes were used up meanwhile.")
                return
            except UserError as error:
                if step.stage in _NEEDED:
                    raise
                self._refuse(step.stage, str(error))
                return
        else:
            place, result = known
        self.known = self.known.with_result(step.stage, result, place)
        there = known is not None and not (folder / RESULT).is_file()
        seconds = time.monotonic() - began
        summary = headline(result)
        self._note(step.stage, "known" if there else "done", "" if summary is None else summary.line, seconds)
        self._checkpoint.put("spent", seconds=np.array(self._spent()))

    def notes(self) -> tuple[StageNote, ...]:
        """What became of every stage, in the order of the chart."""
        nothing = "The workflow ended without it."
        return tuple(
            self._notes.get(stage, StageNote(stage=stage, state="not needed", sentence=nothing)) for stage in _ORDER
        )

    def _found(self, step: Step, folder: Path) -> tuple[Path, Result] | None:
        """A result of an earlier attempt, or one that the report keeps."""
        places = [folder]
        if isinstance(self._report, Shelf) and (other := self._report.found(step.analysis, step.params)) is not None:
            places.insert(0, other)  # where pages look for it, so that both mean the same checkpoint
        for place in places:
            if (place / RESULT).is_file():
                try:
                    return place, ANALYSES[step.analysis].result.load(place / RESULT)
                except UserError:  # of another version: measured again
                    continue
        return None

    def _run(self, step: Step, folder: Path) -> tuple[Path, Result]:
        folder.mkdir(parents=True, exist_ok=True)
        self._told |= {"stage": step.stage, "why": step.why, "params": step.params.model_dump(mode="json"), "rows": []}
        self._tell()
        began = time.monotonic()
        # without a folder of its own an export goes where `qanalysis export` would put it
        where = None if step.analysis == "export" and not self._kept else folder
        result = ANALYSES[step.analysis].run(step.params, self._listening(step), where)
        result.save(folder / RESULT)
        checkpoint.remove(folder)  # it is all in the result
        if isinstance(self._report, Shelf):
            folder = self._report.keep(step.analysis, step.params, folder, time.monotonic() - began)
        return folder, result

    def _listening(self, step: Step) -> Report:
        """The report of a stage: its progress in %, its rows, and the clock where the stage does not watch it."""
        watched = step.stage in ("sensitivity", "partial") and self._params.minutes > 0

        def tell(kind: str, **body: Any) -> None:
            if watched and self._left() <= 0:
                raise TimeIsUpError
            if kind == "progress":
                share = body.get("share")
                done = body["done"] / max(body["total"], 1) if share is None else share
                self._report("progress", stage=step.stage, done=round(100 * done), total=100)
            elif kind == "row" and (step.stage == "ptq" or body.get("of") == "epoch"):
                self._told["rows"] = [*self._told["rows"], body]
                self._tell()

        return tell

    def _with_time(self, step: Step) -> Step | None:
        """The training in the time that is left; found out once, so that a resumed run has the same."""
        if self.known.training_minutes is None:
            minutes = round(_TRAINING * self._left() / 60, 2)
            if minutes < LEAST_TRAINING:
                return None
            self._checkpoint.put("training", minutes=np.array(minutes))
            self.known = Known(self.known.results, self.known.folders, self.known.refused, minutes)
            self._told["training_minutes"] = minutes
        given = step.params.model_copy(update={"minutes": self.known.training_minutes})
        return Step(step.stage, step.analysis, given, step.why)

    def _left(self) -> float:
        """Seconds until the search has to end."""
        whole = 60 * self._params.minutes
        reserve = min(_RESERVE * whole, 60 * _MOST_RESERVED) if self._params.deploy and self._params.bits == 8 else 0.0
        return whole - reserve - self._spent()

    def _spent(self) -> float:
        return self._before + time.monotonic() - self._began

    def _refuse(self, stage: Stage, reason: str) -> None:
        self.known = self.known.refusing(stage, reason)
        self._note(stage, "refused", reason, 0.0)

    def _note(self, stage: Stage, state: Any, sentence: str, seconds: float) -> None:
        note = StageNote(stage=stage, state=state, sentence=sentence, seconds=seconds)
        self._notes[stage] = note
        self._report("row", **note.model_dump())
        self._tell()

    def _tell(self) -> None:
        refused = dict(self.known.refused)
        self._report("table", **self._told, refused=refused, minutes=self.known.training_minutes)


def run(params: WorkflowParams, report: Report = silent, folder: Path | None = None) -> WorkflowResult:
    """Follows the chart until a network is within the target, or nothing is left to try, or no time.

    With a folder, every stage is kept in it: a killed run goes on within the stage where it was, and stages that the
    report knows from elsewhere (`Shelf`) are not done again.

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
