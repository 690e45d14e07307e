"""A fine-tune as far as it has come, from a job that runs or from its result: what both are drawn from."""

import math
from dataclasses import dataclass, field

from pydantic import ValidationError

from qanalysis.figures.qat.accuracy import Course
from qanalysis.jobs.state import Job
from qanalysis.jobs.store import Store
from qanalysis.schema.results.common import Metric
from qanalysis.schema.results.qat import Phase, QatEpoch, QatRecipe, QatResult, QatStep

_PHASES: tuple[Phase, ...] = ("qat", "fp32")


@dataclass(frozen=True)
class Progress:
    """What is known of a fine-tune.

    Attributes:
        courses: the fine-tune and, if there is one, its control.
        recipe: how it is done; None before training begins.
        fp32: accuracy in floating point, in %; None before it is measured.
        ptq: accuracy of the quantized network before training.
        calibration: what training started from.
        before: activation → calibrated range.
        metric: what accuracies are.
    """

    courses: tuple[Course, ...] = ()
    recipe: QatRecipe | None = None
    fp32: float | None = None
    ptq: float | None = None
    calibration: str = ""
    before: dict[str, float | None] = field(default_factory=dict)
    metric: Metric = "accuracy"

    @classmethod
    def of(cls, job: Job, store: Store) -> "Progress":
        """Of a job in any state; of a finished one from its result."""
        if job.state != "finished":
            return cls.of_job(job)
        result = store.result(job)
        assert isinstance(result, QatResult)
        return cls.of_result(result)

    @classmethod
    def of_job(cls, job: Job) -> "Progress":
        """From what a job has told; what another version told is left out."""
        table = job.table or {}
        courses = []
        for phase in _PHASES:
            told = [row for row in job.rows if row.get("phase") == phase]
            steps = _read(QatStep, told, "step")
            epochs = _read(QatEpoch, told, "epoch")
            if steps or epochs:
                courses.append(Course(phase, steps, epochs))
        try:
            recipe = QatRecipe.model_validate(table["recipe"]) if "recipe" in table else None
        except ValidationError:
            recipe = None
        return cls(
            courses=tuple(courses),
            recipe=recipe,
            fp32=table.get("fp32"),
            ptq=table.get("ptq"),
            calibration=table.get("calibration", ""),
            before=table.get("ranges_before", {}),
        )

    @classmethod
    def of_result(cls, result: QatResult) -> "Progress":
        """From a result."""
        runs = [run for run in (result.run, result.control) if run is not None]
        return cls(
            courses=tuple(Course(run.phase, run.steps, run.epochs, run.best_epoch) for run in runs),
            recipe=result.recipe,
            fp32=result.fp32.accuracy,
            ptq=result.ptq.accuracy,
            calibration=result.calibration,
            before=result.ranges_before,
            metric=result.metric,
        )

    def course(self, phase: Phase) -> Course:
        """One of the two; empty if it has not begun."""
        return next((course for course in self.courses if course.phase == phase), Course(phase))

    @property
    def steps(self) -> int:
        """Planned steps; those done, where the plan is not known."""
        done = max((row.step for course in self.courses for row in course.steps), default=1)
        return self.recipe.steps if self.recipe is not None else done

    @property
    def last_epoch(self) -> int:
        """Number of the last planned epoch."""
        done = max((row.epoch for course in self.courses for row in course.epochs), default=1)
        return done if self.recipe is None else math.ceil(self.recipe.steps / self.recipe.steps_per_epoch)


def _read(kind: type, rows: list[dict], of: str) -> tuple:  # type: ignore[type-arg]
    fields = kind.model_fields  # type: ignore[attr-defined]
    return tuple(kind(**{name: row.get(name) for name in fields}) for row in rows if row.get("of") == of)
