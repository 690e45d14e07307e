"""What is known of a model's way through the workflow, from the jobs in the store; nothing is computed here."""

from dataclasses import dataclass, field
from typing import Any

from qanalysis.insight.workflow.steps import Ending, Known, Step, deploy, follow
from qanalysis.jobs.state import Job
from qanalysis.jobs.store import Store
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.workflow import WorkflowParams
from qanalysis.schema.results.common import Result
from qanalysis.schema.results.workflow import Stage, WorkflowResult
from qanalysis.ui.parts.results import loaded


@dataclass(frozen=True)
class Standing:
    """Where a model stands.

    Attributes:
        params: settings of the workflow.
        known: results of its stages, whoever ran them.
        step: what comes next; None after the last.
        ending: where the search ends, once that is known.
        jobs: the job of each stage that has one, done or live.
        whole: the newest run of the whole workflow with these settings, if there is one.
        result: its result, when it has finished.
    """

    params: WorkflowParams
    known: Known
    step: Step | None
    ending: Ending | None
    jobs: dict[Stage, Job] = field(default_factory=dict)
    whole: Job | None = None
    result: WorkflowResult | None = None

    @property
    def live(self) -> Job | None:
        """The job that is under way: the whole workflow's, or that of the next stage."""
        if self.whole is not None and self.whole.live:
            return self.whole
        job = None if self.step is None else self.jobs.get(self.step.stage)
        return job if job is not None and job.live else None

    @property
    def running(self) -> Stage | None:
        """The stage that runs or waits."""
        if self.live is None or self.step is None:
            return None
        return self.step.stage


def standing(store: Store, params: WorkflowParams) -> Standing:
    """Follows the workflow through the results in the store, as far as they reach.

    Raises:
        OSError: if the store cannot be read, as StoreError or ValueError do.
    """
    whole = store.latest("workflow", params)
    table: dict[str, Any] = (whole.table or {}) if whole is not None else {}
    known = Known(refused=table.get("refused", {}), training_minutes=table.get("minutes"))
    jobs: dict[Stage, Job] = {}
    ending: Ending | None = None
    while True:
        if ending is None:
            step: Step | Ending | None = follow(params, known)
            if isinstance(step, Ending):
                ending = step
                continue
        else:
            step = deploy(params, known, ending.best)
        if not isinstance(step, Step):
            break
        job = store.latest(step.analysis, step.params)
        if job is not None:
            jobs[step.stage] = job
        result = None if job is None or job.state != "finished" else _known(job)
        if job is None or result is None:
            break
        known = known.with_result(step.stage, result, store.folder(job.id))
    result = None if whole is None or whole.state != "finished" else _known(whole)
    return Standing(
        params=params,
        known=known,
        step=step if isinstance(step, Step) else None,
        ending=ending,
        jobs=jobs,
        whole=whole,
        result=result if isinstance(result, WorkflowResult) else None,
    )


def _known(job: Job) -> Result | None:
    """The result of a finished job; None if its file is gone or of another version."""
    try:
        return loaded(job)
    except UserError:
        return None
