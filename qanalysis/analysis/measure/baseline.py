"""Baseline: what every study of plans starts from: the task, ranges from one calibration, and the fp32 answers."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch

from qanalysis import task as tasks
from qanalysis.analysis.calibrate import observed, range_tables
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.progress import Report, Snapshot, counted
from qanalysis.analysis.measure.score import Answers, answers, score
from qanalysis.nn.quantized import QuantizedModel, QuantizedWeights
from qanalysis.nn.replay import Replay
from qanalysis.schema.observations import Observations, RangeTable
from qanalysis.schema.params.accuracy import OneCalibrationParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.site import Coverage
from qanalysis.task import Task


@dataclass(frozen=True, eq=False)
class Batch:
    """One batch of the evaluation samples, with its fp32 logits on the CPU."""

    index: int
    inputs: torch.Tensor
    labels: torch.Tensor | None
    reference: torch.Tensor


@dataclass(frozen=True, eq=False)
class Baseline:
    """What is measured before any plan is.

    Attributes:
        task: model and data.
        plan: the plan that is varied.
        observations: histograms of all activations.
        ranges: of all activations.
        coverage: the sites, in order of execution.
        reference: the fp32 answers on the evaluation samples.
        fp32_seconds: time of that one evaluation.
        samples: number of evaluation samples.
        report: told of progress.
        snapshot: told what is known so far.
        checkpoint: where measured batches are kept.
        memory_bytes: memory for recorded outputs.
        weights: quantized weights, shared by all plans.
    """

    task: Task
    plan: Plan
    observations: Observations
    ranges: RangeTable
    coverage: Coverage
    reference: Answers
    fp32_seconds: float
    samples: int
    report: Report
    snapshot: Snapshot
    checkpoint: Checkpoint
    memory_bytes: int
    weights: QuantizedWeights = field(default_factory=QuantizedWeights)

    @property
    def fp32(self) -> float:
        """Accuracy of the fp32 model in %."""
        return score(self.reference.hits(self.reference)).accuracy

    @property
    def float_sites(self) -> dict[str, str]:
        """Sites that stay in floating point under the plan, and why."""
        return float_sites(self.plan, self.coverage, self.ranges)

    @property
    def candidates(self) -> list[str]:
        """Sites that the plan quantizes, in order of execution."""
        floats = self.float_sites
        return [site.name for site in self.coverage.sites if site.name not in floats]

    def quantized(self, plan: Plan) -> QuantizedModel:
        """The model under a plan."""
        return QuantizedModel(self.task.model.module, plan, self.ranges, self.weights)

    def replay(self) -> Replay:
        """A recorder for one batch."""
        return Replay(self.task.model.module, self.memory_bytes)

    def batches(self, stage: str) -> Iterator[Batch]:
        """The evaluation samples in batches, with progress reported under the name of the stage."""
        start = 0
        split = self.task.data.evaluation
        pairs = counted(self.task.batches(split, self.samples), self.report, stage, self.samples)
        for index, (inputs, labels) in enumerate(pairs):
            reference = torch.from_numpy(self.reference.logits[start : start + len(inputs)])
            start += len(inputs)
            yield Batch(index, inputs, labels if self.task.data.labelled else None, reference)

    def int8_mac_share(self, plan: Plan) -> float:
        """Share of multiply-accumulates that run quantized, in %."""
        floats = float_sites(plan, self.coverage, self.ranges)
        quantized = sum(site.macs for site in self.coverage.sites if site.name not in floats)
        return 100 * quantized / max(self.coverage.macs, 1)


def measure(params: OneCalibrationParams, report: Report, checkpoint: Checkpoint) -> Baseline:
    """Loads, calibrates and runs the fp32 model.

    Raises:
        ValueError: with one sentence, for bad names, files or data, a site that does not exist, a plan of another
            model, or a site that was not reached by the calibration data.
    """
    task = tasks.load(params)
    plan = params.checked_plan(task.coverage)
    observations = observed(task, task.model.module, params.calibration_samples, report)
    name = params.effective_calibration
    table = range_tables(observations, (name,), plan, report)[name]
    start = time.perf_counter()
    reference = answers(task, task.model.module, params.evaluation_samples, report, "fp32")
    seconds = time.perf_counter() - start
    return Baseline(
        task=task,
        plan=plan,
        observations=observations,
        ranges=table,
        coverage=observations.coverage,
        reference=reference,
        fp32_seconds=seconds,
        samples=len(reference.logits),
        report=report,
        snapshot=Snapshot(report),
        checkpoint=checkpoint,
        memory_bytes=params.memory_mb * 2**20,
    )


def unreached_note(sites: Iterable[str]) -> tuple[str, ...]:
    """What to tell of sites that were met in measuring and not in calibration; nothing if there are none."""
    names = sorted(set(sites))
    if not names:
        return ()
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return (
        f"Calibration never reached {names[0]}{more}, so {'they stay' if more else 'it stays'} in floating point: "
        "calibrate on more samples, or on such that take that way through the network.",
    )


def float_sites(plan: Plan, coverage: Coverage, table: RangeTable) -> dict[str, str]:
    """Sites that stay in floating point, and why."""
    reasons = {site.name: "skipped by the plan" for site in coverage.sites if not plan.quantizes(site.name)}
    for site in table.unranged_sites():
        reasons.setdefault(site, "an operand was zero on all calibration data")
    for reached in coverage.sites if plan.parts != "weights" else ():
        if not all(tensor in table.ranges for tensor in reached.tensors):
            reasons.setdefault(reached.name, "calibration never reached it")
    return reasons
