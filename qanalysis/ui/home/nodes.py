"""Nodes of the flow chart: what each says of a model, from where it stands."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from qanalysis.insight.words import calibration_label, counted
from qanalysis.insight.workflow.candidates import after_partial, after_ptq, after_qat
from qanalysis.insight.workflow.end import speed
from qanalysis.insight.workflow.steps import partial_of
from qanalysis.jobs.state import Job
from qanalysis.schema.flavours import engine_label
from qanalysis.schema.results.accuracy import EvaluateResult, PtqResult
from qanalysis.schema.results.sensitivity import SensitivityResult
from qanalysis.schema.results.workflow import Candidate, Stage, Way
from qanalysis.ui.home.state import Standing

NodeState = Literal["waiting", "next", "running", "done", "not needed", "refused"]
#: Stages that a node stands for.
STAGES: dict[str, tuple[Stage, ...]] = {
    "baseline": ("baseline",),
    "ptq": ("ptq",),
    "partial": ("sensitivity", "partial", "speed"),
    "qat": ("qat",),
    "deploy": ("benchmark", "export"),
}
_TITLES = {
    "baseline": "fp32",
    "ptq": "PTQ",
    "partial": "Partial quantization",
    "qat": "QAT",
    "deploy": "Deploy",
}
_BEFORE = {
    "baseline": "The accuracy that everything is held against.",
    "ptq": "Quantize all layers; try every calibration.",
    "partial": "Leave the most sensitive layers in floating point.",
    "qat": "Train the quantized network for a while.",
    "deploy": "Measure the speed in an engine and write the file.",
}


@dataclass(frozen=True)
class Node:
    """One box of the chart.

    Attributes:
        key: its name.
        title: what it is called.
        state: how far it is.
        value: its result in large print; empty before there is one.
        lines: what else is known, or what it will do.
        answer: what the question below it got: yes, no, or nothing yet.
        question: that question; empty where there is none.
        progress: share done of the running stage, from 0 to 1; None if it does not run.
    """

    key: str
    title: str
    state: NodeState
    value: str
    lines: tuple[str, ...]
    question: str = ""
    answer: Literal["yes", "no", ""] = ""
    progress: float | None = None

    @property
    def data(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def nodes(standing: Standing) -> tuple[Node, ...]:
    """All boxes, in order."""
    return tuple(_node(key, standing) for key in STAGES)


def _node(key: str, at: Standing) -> Node:
    state = _state(key, at)
    value, lines = _found(key, at)
    if state == "running" and not lines:
        lines = (_RUNNING[at.running] if at.running else "",)
    reason = next((at.known.refused[stage] for stage in STAGES[key] if stage in at.known.refused), "")
    if state == "refused" and not value:
        lines = (reason or "Engines multiply 8-bit integers: there is no file for this plan.",)
    elif state == "not needed":
        value, lines = "", ("Not needed: the step before it is enough.",)
    elif not lines:
        lines = (_BEFORE[key],)
    question, answer = _question(key, at)
    if state == "not needed":
        question, answer = "", ""
    job = at.live
    progress = job.progress if state == "running" and job is not None else None
    return Node(key, _TITLES[key], state, value, lines, question, answer, progress)


_RUNNING: dict[Stage, str] = {
    "baseline": "Measuring floating point",
    "ptq": "Quantizing with each calibration",
    "sensitivity": "Quantizing one layer at a time",
    "partial": "Leaving layers in floating point",
    "speed": "Measuring its speed",
    "qat": "Training",
    "benchmark": "Measuring the speed",
    "export": "Writing the file",
}


def _state(key: str, at: Standing) -> NodeState:
    stages = STAGES[key]
    if at.running in stages:
        return "running"
    if at.step is not None and at.step.stage in stages:
        return "next"
    if key == "deploy":
        if at.ending is None:
            return "waiting"
        if any(stage in at.known.results for stage in stages):
            return "done"
        return "refused" if any(stage in at.known.refused for stage in stages) or at.step is None else "waiting"
    if at.ending is not None and _after(key, at.ending.best.way if at.ending.end != "none" else "qat"):
        return "not needed"
    if any(stage in at.known.results for stage in stages):
        return "done"
    if any(stage in at.known.refused for stage in stages):
        return "refused"
    if key == "partial" and at.params.most_skipped == 0 and "ptq" in at.known.results:
        return "not needed"
    return "waiting"


def _after(key: str, way: Way) -> bool:
    order = ("baseline", "ptq", "partial", "qat")
    return order.index(key) > order.index(way)


def _found(key: str, at: Standing) -> tuple[str, tuple[str, ...]]:
    """The result of a node in large print, and the rest."""
    known = at.known
    if key == "baseline":
        result = known.of("baseline", EvaluateResult)
        if result is None:
            return "", ()
        if result.fp32 is None:
            return "100 %", ("no labels: agreement",)
        return f"{result.fp32.accuracy:.2f} %", (f"{result.fp32.samples:,} {result.words.samples}",)
    candidate = _candidates(at).get(key)
    if candidate is not None:
        return f"{candidate.accuracy:.2f} %", (_change(candidate), _how(candidate))
    if key == "ptq" and at.live is not None and (rows := _rows(at.live)):
        best = max(rows, key=lambda row: row["accuracy"])
        return f"{best['accuracy']:.2f} %", (f"{best['relative']:+.2f} %", f"{len(rows)} calibrations so far")
    if key == "deploy":
        gained = speed(known.results.get("benchmark"))
        if gained is not None:
            return f"{gained.speedup:.2f} × fp32", (f"{gained.int8_ms:.3g} ms in {engine_label(gained.engine)}",)
    return "", ()


def _candidates(at: Standing) -> dict[str, Candidate]:
    """What the stages gave, by node."""
    found: dict[str, Candidate | None] = {}
    ptq = at.known.of("ptq", PtqResult)
    if ptq is not None:
        first = after_ptq(at.params, ptq)
        found["ptq"] = first
        measured = at.known.results.get("partial") or at.known.results.get("sensitivity")
        if measured is not None and partial_of(at.known) is not None:
            found["partial"] = after_partial(at.params, first, measured)  # type: ignore[arg-type]
    found["qat"] = after_qat(at.params, at.known.results.get("qat"), at.known.folders.get("qat"))
    return {key: candidate for key, candidate in found.items() if candidate is not None}


def _change(candidate: Candidate) -> str:
    return f"{candidate.relative:+.2f} % relative"


def _how(candidate: Candidate) -> str:
    if candidate.way == "partial":
        return f"{counted(len(candidate.skipped), 'layer')} skipped, {candidate.int8_mac_share:.0f} % in integers"
    if candidate.way == "qat":
        return f"{candidate.plan.plan.weight_bits}/{candidate.plan.plan.activation_bits} bits, trained"
    return f"best calibration: {calibration_label(candidate.plan.calibration)}"


def _question(key: str, at: Standing) -> tuple[str, Literal["yes", "no", ""]]:
    if key not in ("ptq", "partial", "qat"):
        return "", ""
    question = f"Within {at.params.target:g} %?"
    if at.ending is not None and at.ending.end == key:
        return question, "yes"
    done = {"ptq": "ptq" in at.known.results, "qat": "qat" in at.known.results, "partial": _partial_over(at)}[key]
    return question, "no" if done else ""


def _partial_over(at: Standing) -> bool:
    """Whether partial quantization was tried and is not the end."""
    tried = at.known.of("sensitivity", SensitivityResult) is not None
    beyond = at.ending is not None or (at.step is not None and at.step.stage == "qat")
    return tried and beyond


def _rows(job: Job) -> list[dict[str, Any]]:
    rows = (job.table or {}).get("rows", []) if job.analysis == "workflow" else job.rows
    return [row for row in rows if "relative" in row]
