"""The workflow as a function: from what is known of a model to what comes next, or where it ends (Fig. 5).

The analysis follows it until it ends, and the home page draws what it says of the results that are in the store: both
agree because neither decides anything itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from qanalysis.insight.words import counted
from qanalysis.insight.workflow.candidates import after_partial, after_ptq, after_qat
from qanalysis.insight.workflow.end import not_for_engines, speed
from qanalysis.schema.params.accuracy import EvaluateParams, PartialParams, PtqParams, SensitivityParams
from qanalysis.schema.params.deploy import BenchmarkParams, ExportParams
from qanalysis.schema.params.qat import QatParams
from qanalysis.schema.params.task import QuantizationParams, TaskParams
from qanalysis.schema.params.workflow import WorkflowParams
from qanalysis.schema.results.accuracy import PtqResult
from qanalysis.schema.results.common import Result
from qanalysis.schema.results.sensitivity import Partial, PartialResult, SensitivityResult
from qanalysis.schema.results.workflow import Candidate, End, Stage

R = TypeVar("R", bound=Result)
#: Bits up to which the paper's gentle fine-tune is too timid, and what recovers more there (docs/results.md).
LOW_BITS = 5
LOW_BIT_TRAINING: Mapping[str, Any] = {"rate_share": 0.1, "activation_scheme": "affine"}
#: Minutes of training that are worth to begin.
LEAST_TRAINING = 0.2
#: Time of each latency, and rounds, in the measurement of the end.
_BENCHMARK: Mapping[str, Any] = {
    "precisions": ("fp32", "int8"),
    "batches": (1,),
    "seconds": 2.0,
    "gemm": False,
    "predict": False,
}


@dataclass(frozen=True)
class Step:
    """What comes next.

    Attributes:
        stage: which stage.
        analysis: name of the analysis to run.
        params: its parameters.
        why: why it is needed, as a sentence.
    """

    stage: Stage
    analysis: str
    params: TaskParams
    why: str


@dataclass(frozen=True)
class Ending:
    """Where the search ends.

    Attributes:
        end: which part of the workflow gave what was wanted, or none.
        best: the network recommended.
        reason: why it ends here.
    """

    end: End
    best: Candidate
    reason: str


@dataclass(frozen=True)
class Known:
    """What is known of a model.

    Attributes:
        results: of the stages that were done.
        folders: where the files of these are.
        refused: stages that cannot be done, or not in the time, with the reason as a sentence.
        training_minutes: time that QAT is given; None lets it take what its recipe needs.
    """

    results: Mapping[Stage, Result] = field(default_factory=dict)
    folders: Mapping[Stage, Path] = field(default_factory=dict)
    refused: Mapping[Stage, str] = field(default_factory=dict)
    training_minutes: float | None = None

    def with_result(self, stage: Stage, result: Result, folder: Path | None) -> "Known":
        """Also this result."""
        folders = self.folders if folder is None else {**self.folders, stage: folder}
        return Known({**self.results, stage: result}, folders, self.refused, self.training_minutes)

    def refusing(self, stage: Stage, reason: str) -> "Known":
        """Also that this stage cannot be done."""
        return Known(self.results, self.folders, {**self.refused, stage: reason}, self.training_minutes)

    def of(self, stage: Stage, kind: type[R]) -> R | None:
        """The result of a stage, if there is one."""
        result = self.results.get(stage)
        return result if isinstance(result, kind) else None

    def lacks(self, stage: Stage) -> bool:
        """Whether the stage could still be done."""
        return stage not in self.results and stage not in self.refused


def follow(params: WorkflowParams, known: Known) -> Step | Ending:
    """The next step of the search, or its end; speed and files of the recommended network come after it (`deploy`)."""
    if known.lacks("baseline"):
        shared = _shared(params, EvaluateParams)
        return Step("baseline", "evaluate", EvaluateParams(**shared), "Everything is held against floating point.")
    ptq = known.of("ptq", PtqResult)
    if ptq is None:
        why = "All layers are quantized; each calibration is tried."
        return Step("ptq", "ptq", PtqParams(**_shared(params, PtqParams), calibrations=params.calibrations), why)
    first = after_ptq(params, ptq)
    if first.within(params.target):
        return Ending(
            "ptq", first, f"{_told(first)}, within the target of {params.target:g} %: nothing more is needed."
        )
    found = [first]
    reasons = []
    if params.most_skipped:
        step = _partial(params, known, ptq, first)
        if isinstance(step, Step | Ending):
            return step
        candidate, reason = step
        if candidate is not None:
            found.append(candidate)
        reasons.append(reason)
    if known.lacks("qat"):
        before = " ".join(reasons) or f"{_told(first)}, more than the target of {params.target:g} %."
        why = f"{before} The network is trained for rounding, from the best calibration."
        return Step("qat", "qat", training(params, first, known.training_minutes), why)
    qat = after_qat(params, known.results.get("qat"), known.folders.get("qat"))
    if qat is not None:
        found.append(qat)
        if qat.within(params.target):
            return Ending("qat", qat, f"{_told(qat)}, within the target of {params.target:g} %.")
        reasons.append(f"{_told(qat)}, still more.")
    elif "qat" in known.refused:
        reasons.append(known.refused["qat"])
    best = max(found, key=lambda candidate: candidate.relative)
    parts = dict.fromkeys([f"{_told(first)}, more than the target of {params.target:g} %.", *reasons])
    said = " ".join(parts)
    return Ending("none", best, said)


def deploy(params: WorkflowParams, known: Known, best: Candidate) -> Step | None:
    """The next step of measuring the recommended network in an engine and writing its file; None after the last."""
    if not params.deploy or not_for_engines(best):
        return None
    if known.lacks("benchmark"):
        return Step("benchmark", "benchmark", benchmark(params, best), "What int8 gains is measured in an engine.")
    if known.lacks("export"):
        given = ExportParams(**_deployed(params, best), output=params.output)
        return Step("export", "export", given, "The file to deploy is written and checked.")
    return None


def training(params: WorkflowParams, start: Candidate, minutes: float | None) -> QatParams:
    """The fine-tune, from the best calibration: the default recipe, or as much of it as fits into the time."""
    given = _shared(params, QatParams) | {"plan": None if params.plan is None else start.plan}
    if params.plan is None and min(start.plan.plan.weight_bits, start.plan.plan.activation_bits) <= LOW_BITS:
        given |= LOW_BIT_TRAINING
    length = {"epochs": params.epochs} if params.epochs is not None else {"minutes": minutes}
    return QatParams(**given, **length, calibration=start.plan.calibration, control=False)


def benchmark(params: WorkflowParams, best: Candidate) -> BenchmarkParams:
    """The measurement of a network in the engine."""
    return BenchmarkParams(**_deployed(params, best), **_BENCHMARK, engines=(params.engine,))


def partial_of(known: Known) -> Partial | None:
    """Partial quantization as far as it is known: on all evaluation samples, else on those of the sensitivity."""
    partial = known.of("partial", PartialResult)
    if partial is not None:
        return partial.partial
    sensitivity = known.of("sensitivity", SensitivityResult)
    return None if sensitivity is None else sensitivity.partial


def _partial(
    params: WorkflowParams, known: Known, ptq: PtqResult, first: Candidate
) -> Step | Ending | tuple[Candidate | None, str]:
    """Partial quantization: its next step, the end, or its best candidate and why that is not enough."""
    if known.lacks("sensitivity"):
        given = SensitivityParams(
            **_calibrated(params, first, SensitivityParams)
            | {"evaluation_samples": min(params.sensitivity_samples, params.evaluation_samples)},
            target=params.target,
            most_skipped=params.most_skipped,
            proxies=False,
        )
        why = f"{_told(first)}, more than the target of {params.target:g} %: which layers cause it?"
        return Step("sensitivity", "sensitivity", given, why)
    sensitivity = known.of("sensitivity", SensitivityResult)
    if sensitivity is None:
        return None, known.refused["sensitivity"]
    partial = sensitivity.partial
    assert partial is not None
    enough = sensitivity.rows and sensitivity.rows[0].samples >= ptq.fp32_score.samples
    if not enough and known.lacks("partial") and _hopeful(partial, sensitivity.fp32, params.target):
        given_ = PartialParams(
            **_calibrated(params, first, PartialParams),
            order=tuple(row.site for row in sensitivity.rows),
            target=params.target,
            most_skipped=params.most_skipped,
        )
        why = "The most sensitive layers are left in floating point, one more at a time, on all samples."
        return Step("partial", "partial", given_, why)
    measured = known.of("partial", PartialResult) or sensitivity
    candidate = after_partial(params, first, measured)
    if candidate is None:
        return None, f"No step of partial quantization keeps {params.least_int8:g} % of the work in integers."
    if not candidate.within(params.target):
        refused = known.refused.get("partial", "")
        skipped = counted(len(candidate.skipped), "layer")
        still = f"With {skipped} in floating point the loss is still {-candidate.relative:.2f} %."
        return candidate, f"{still} {refused}".strip()
    if params.least_speedup:
        if known.lacks("speed"):
            why = "Is the network with layers in floating point still fast enough?"
            return Step("speed", "benchmark", benchmark(params, candidate), why)
        gained = speed(known.results.get("speed"))
        if gained is not None and gained.speedup < params.least_speedup:
            return candidate, (
                f"{_told(candidate)}, but it is only {gained.speedup:.2f} times as fast as fp32, less than the "
                f"{params.least_speedup:g} asked for."
            )
    return Ending("partial", candidate, f"{_told(candidate)}, within the target of {params.target:g} %.")


def _hopeful(partial: Partial, fp32: float, target: float) -> bool:
    """Whether some step may be within the target when it is measured on more samples."""
    return any(100 * step.change_interval[1] >= -target * fp32 for step in partial.steps)


def _told(candidate: Candidate) -> str:
    """What a candidate gives, as the beginning of a sentence."""
    loses = "loses nothing" if candidate.relative >= 0 else f"loses {-candidate.relative:.2f} % relative"
    if candidate.way == "ptq":
        kind, _, percent = candidate.plan.calibration.partition(":")
        return f"PTQ with {f'{percent} %' if percent else kind} calibration {loses}"
    if candidate.way == "partial":
        layers = counted(len(candidate.skipped), "layer")
        return f"With {layers} in floating point the network {loses}"
    return f"After QAT the network {loses}"


def _shared(params: WorkflowParams, kind: type[TaskParams]) -> dict[str, Any]:
    """What an analysis takes over as it is."""
    names = QuantizationParams.model_fields.keys() & kind.model_fields.keys()
    return {name: getattr(params, name) for name in sorted(names)}


def _calibrated(params: WorkflowParams, first: Candidate, kind: type[TaskParams]) -> dict[str, Any]:
    plan = None if params.plan is None else first.plan  # its calibration is the best one, whatever was saved
    return _shared(params, kind) | {
        "plan": plan,
        "calibration": first.plan.calibration,
        "memory_mb": params.memory_mb,
    }


def _deployed(params: WorkflowParams, best: Candidate) -> dict[str, Any]:
    names = ("data", "device", "batch_size", "seed", "calibration_samples", "evaluation_samples")
    return {name: getattr(params, name) for name in names} | {"model": best.model, "plan": best.plan}
