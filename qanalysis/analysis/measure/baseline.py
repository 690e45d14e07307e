"""Baseline: what every study of plans starts from: the setup, ranges from one calibration, and the fp32 answers."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from qanalysis import setup as setups
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.evaluation import Answering, EvaluationBatch
from qanalysis.analysis.measure.ground import Ground, calibrated
from qanalysis.analysis.measure.progress import Report, Snapshot
from qanalysis.nn.quantized import QuantizedModel, QuantizedWeights
from qanalysis.nn.replay import Replay
from qanalysis.schema.params.accuracy import OneCalibrationParams
from qanalysis.schema.plan import Plan
from qanalysis.tasks.task import Statistics, Task


@dataclass(frozen=True, eq=False)
class Baseline(Ground):
    """A ground on which floating point has been measured, and plans are varied.

    Attributes:
        reference: the fp32 model on the evaluation samples.
        statistics: what its accuracy is made of.
        fp32_seconds: time of that one evaluation.
        report: told of progress.
        snapshot: told what is known so far.
        checkpoint: where measured batches are kept.
        memory_bytes: memory for recorded outputs.
        weights: quantized weights, shared by all plans.
    """

    reference: Answering
    statistics: Statistics
    fp32_seconds: float
    report: Report
    snapshot: Snapshot
    checkpoint: Checkpoint
    memory_bytes: int
    weights: QuantizedWeights = field(default_factory=QuantizedWeights)

    @property
    def task(self) -> Task:
        """What the model is for."""
        return self.setup.task

    @property
    def samples(self) -> int:
        """Number of evaluation samples."""
        return len(self.statistics)

    @property
    def fp32(self) -> float:
        """Accuracy of the fp32 model in %."""
        return self.task.accuracy_of(self.statistics)

    def quantized(self, plan: Plan) -> QuantizedModel:
        """The model under a plan."""
        return QuantizedModel(self.setup.model.module, plan, self.ranges, self.weights)

    def replay(self, memory_bytes: int | None = None) -> Replay:
        """A recorder for one batch."""
        limit = self.memory_bytes if memory_bytes is None else memory_bytes
        return Replay(self.setup.model.module, limit, self.task.measured)

    def batches(self, stage: str) -> Iterator[EvaluationBatch]:
        """The evaluation samples in batches, with progress reported under the name of the stage."""
        return self.reference.batches(self.report, stage)


def measured_baseline(params: OneCalibrationParams, report: Report, checkpoint: Checkpoint) -> Baseline:
    """Loads, calibrates and runs the fp32 model.

    Raises:
        UserError: with one sentence, for bad names, files or data, a site that does not exist, a plan of another
            model, or a site that was not reached by the calibration data.
    """
    setup = setups.load(params)
    plan = params.checked_plan(setup.coverage)
    ground = calibrated(setup, plan, (params.effective_calibration,), params.calibration_samples, report)
    reference = Answering(setup, setup.model.module, params.evaluation_samples)
    start = time.perf_counter()
    statistics = reference.statistics(report)
    seconds = time.perf_counter() - start
    return Baseline(
        **ground.values(),
        reference=reference,
        statistics=statistics,
        fp32_seconds=seconds,
        report=report,
        snapshot=Snapshot(report),
        checkpoint=checkpoint,
        memory_bytes=params.memory_mb * 2**20,
    )
