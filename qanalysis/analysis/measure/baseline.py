"""Baseline: what every study of plans starts from: the task, ranges from one calibration, and the fp32 answers."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from qanalysis import task as tasks
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.ground import Ground, calibrated
from qanalysis.analysis.measure.progress import Report, Snapshot, counted
from qanalysis.analysis.measure.score import Outputs, answers, score
from qanalysis.nn.quantized import QuantizedModel, QuantizedWeights
from qanalysis.nn.replay import Replay
from qanalysis.schema.params.accuracy import OneCalibrationParams
from qanalysis.schema.plan import Plan


@dataclass(frozen=True, eq=False)
class EvaluationBatch:
    """One batch of the evaluation samples, with its fp32 logits on the CPU."""

    index: int
    inputs: torch.Tensor
    labels: torch.Tensor | None
    reference: torch.Tensor


@dataclass(frozen=True, eq=False)
class Baseline(Ground):
    """A ground on which floating point has been measured, and plans are varied.

    Attributes:
        reference: the fp32 answers on the evaluation samples.
        fp32_seconds: time of that one evaluation.
        samples: number of evaluation samples.
        report: told of progress.
        snapshot: told what is known so far.
        checkpoint: where measured batches are kept.
        memory_bytes: memory for recorded outputs.
        weights: quantized weights, shared by all plans.
    """

    reference: Outputs
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

    def quantized(self, plan: Plan) -> QuantizedModel:
        """The model under a plan."""
        return QuantizedModel(self.task.model.module, plan, self.ranges, self.weights)

    def replay(self) -> Replay:
        """A recorder for one batch."""
        return Replay(self.task.model.module, self.memory_bytes)

    def batches(self, stage: str) -> Iterator[EvaluationBatch]:
        """The evaluation samples in batches, with progress reported under the name of the stage."""
        start = 0
        split = self.task.data.evaluation
        pairs = counted(self.task.batches(split, self.samples), self.report, stage, self.samples)
        for index, (inputs, labels) in enumerate(pairs):
            reference = torch.from_numpy(self.reference.logits[start : start + len(inputs)])
            start += len(inputs)
            yield EvaluationBatch(index, inputs, labels if self.task.data.labelled else None, reference)


def measured_baseline(params: OneCalibrationParams, report: Report, checkpoint: Checkpoint) -> Baseline:
    """Loads, calibrates and runs the fp32 model.

    Raises:
        ValueError: with one sentence, for bad names, files or data, a site that does not exist, a plan of another
            model, or a site that was not reached by the calibration data.
    """
    task = tasks.load(params)
    plan = params.checked_plan(task.coverage)
    ground = calibrated(task, plan, (params.effective_calibration,), params.calibration_samples, report)
    start = time.perf_counter()
    reference = answers(task, task.model.module, params.evaluation_samples, report, "fp32")
    seconds = time.perf_counter() - start
    return Baseline(
        **ground.values(),
        reference=reference,
        fp32_seconds=seconds,
        samples=len(reference.logits),
        report=report,
        snapshot=Snapshot(report),
        checkpoint=checkpoint,
        memory_bytes=params.memory_mb * 2**20,
    )
