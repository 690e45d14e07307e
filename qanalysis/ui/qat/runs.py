"""Fine-tunes that were started before, with names that tell them apart."""

import time
from collections import Counter

from qanalysis.figures.qat.accuracy import RunCurves
from qanalysis.insight.words import calibration_label
from qanalysis.jobs.state import Job
from qanalysis.jobs.store import Store
from qanalysis.numerics.change import relative
from qanalysis.schema.params.qat import BEST, QatParams
from qanalysis.ui.qat.progress import Progress

#: Jobs that are looked through at the most.
MOST = 500
#: Words for parameters that two runs may differ in; others are written as they are called.
_WORDS = {
    "learning_rate": "lr",
    "batch_norm": "batch norm",
    "train_samples": "samples",
    "train_batch_size": "batch",
    "weight_decay": "decay",
    "range_learning_rate": "range lr",
    "range_weight_decay": "range decay",
}
#: What the first words of a name say already, and what changes nothing that is compared.
_SAID = frozenset(
    {"model", "data", "plan", "bits", "weight_bits", "activation_bits", "ranges", "calibration"}
    | {"control", "device", "batch_size", "evaluation_samples"}
)


def runs_of(store: Store, model: str, data: str) -> list[Job]:
    """Fine-tunes of this model on this data that have run or run now, newest first."""
    return [
        job
        for job in store.jobs(MOST)
        if job.analysis == "qat"
        and isinstance(job.params, QatParams)
        and (job.params.model, job.params.data) == (model, data)
        and job.state != "queued"
        and job.seconds > 0
    ]


def names(jobs: list[Job]) -> dict[str, str]:
    """Job → a name: bits where they differ, ranges, calibration; what else tells it from others; at last the time."""
    bits = {job.id: _bits(job.params) for job in jobs if isinstance(job.params, QatParams)}
    mixed = len(set(bits.values())) > 1
    first = {
        job.id: f"{bits[job.id]} " * mixed + _first(job.params) for job in jobs if isinstance(job.params, QatParams)
    }
    told = {}
    for job in jobs:
        alike = [other for other in jobs if first[other.id] == first[job.id]]
        told[job.id] = " · ".join([first[job.id], *_differences(job, alike)])
    counted = Counter(told.values())
    for job in jobs:
        if counted[told[job.id]] > 1:
            told[job.id] += time.strftime(" · %d %b %H:%M:%S", time.localtime(job.created))
    return told


def run_of(name: str, progress: Progress, live: bool) -> RunCurves:
    """What a comparison draws."""
    return RunCurves(name, progress.course("qat").epochs, progress.course("fp32").epochs, live)


def relative_change(accuracy: float | None, fp32: float | None) -> float | None:
    """Relative change, in %; None where one of the two is not known yet."""
    return None if accuracy is None or fp32 is None else relative(accuracy, fp32)


def _bits(params: QatParams) -> str:
    plan = params.effective_plan()
    return f"{plan.weight_bits}/{plan.activation_bits}"


def _first(params: QatParams) -> str:
    start = BEST if params.calibration == BEST else calibration_label(params.calibration)
    if params.plan is not None:
        start = f"{calibration_label(params.effective_calibration)} ({params.plan.name})"
    return f"{params.ranges} from {start}"


def _differences(job: Job, alike: list[Job]) -> list[str]:
    parts = []
    for name in type(job.params).model_fields:
        value = getattr(job.params, name)
        if name in _SAID or all(getattr(other.params, name) == value for other in alike):
            continue
        if name in ("epochs", "steps", "minutes"):
            parts += [] if value is None else [f"{value:g} {name}"]
        elif isinstance(value, bool):
            parts.append(_WORDS.get(name, name) if value else f"no {_WORDS.get(name, name)}")
        elif value is not None:
            text = f"{value:g}" if isinstance(value, float) else str(value)
            parts.append(f"{_WORDS.get(name, name.replace('_', ' '))} {text}")
    return parts
