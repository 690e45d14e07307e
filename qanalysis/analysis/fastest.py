"""The fastest plan within a loss of accuracy: accuracy is measured, latency predicted, and the winner timed.

All sites in int8 are fastest unless some do not pay. Sites that lose much for the time they gain leave int8 first; how
many have to is found by bisection, and then each is tried again in int8, the one that gains most time first.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from qanalysis.analysis import sensitivity
from qanalysis.analysis.measure.baseline import Baseline
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.comparison import change
from qanalysis.analysis.measure.evaluation import Answering, compared
from qanalysis.analysis.measure.progress import Report, Snapshot, silent, staged
from qanalysis.analysis.speed.deployment import Deployment, prepared
from qanalysis.analysis.speed.model import opened, speed_model
from qanalysis.analysis.speed.rounds import LoadMeter, Timed, measure, warning
from qanalysis.analysis.speed.subjects import environment
from qanalysis.engines.registry import engine
from qanalysis.numerics.change import relative
from qanalysis.schema.digest import digest
from qanalysis.schema.params.deploy import FastestParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.benchmark import FastestResult, SpeedStep
from qanalysis.schema.results.speed import SpeedModel
from qanalysis.tasks.task import Statistics

_ROUNDS = 10


@torch.no_grad()
def run(params: FastestParams, report: Report = silent, folder: Path | None = None) -> FastestResult:
    """Measures the speed model, the sensitivity of every site, and then plan after plan.

    Raises:
        ValueError: with one sentence: bad names, files or data; a plan or engine that cannot be used.
    """
    start = time.perf_counter()

    engine(params.engine)
    report = staged(report, _work(params))
    deployment = prepared(params, report)
    meter = LoadMeter()
    tell = lambda done, total: report("progress", stage="prediction", done=done, total=total)  # noqa: E731
    with tempfile.TemporaryDirectory(prefix="qanalysis-fastest-") as place:
        model = speed_model(
            deployment, params.engine, params.batch, params.threads, params.seconds, _ROUNDS, Path(place), tell
        )
        load = meter.load()
        reference = Answering(deployment.setup, deployment.setup.model.module, params.evaluation_samples)
        statistics = reference.statistics(report)
        search = PlanSearch(params, deployment, model, reference, statistics, report)
        search.run(_order(params, deployment, model, reference, statistics, report, folder))
        best = search.best
        measured = None if best is None else _measured(deployment, params, best.skipped, Path(place))
    cards = deployment.setup.cards()
    doubt = warning(load)
    cards["warnings"] = (*cards["warnings"], *((doubt,) if doubt else ()))
    cards["environment"] = environment(deployment.setup, load)
    return FastestResult(
        **cards,
        params=params,
        coverage=deployment.coverage,
        metric=deployment.setup.metric,
        fp32=search.fp32,
        quantized=search.steps[0].accuracy,
        speed=model,
        steps=tuple(search.steps),
        plan=None if best is None else deployment.plan.skipping(*best.skipped),
        accuracy=None if best is None else best.accuracy,
        predicted_ms=None if best is None else best.predicted_ms,
        measured_ms=measured,
        float_ms=model.float_ms,
        int8_ms=model.int8_ms,
        seconds=time.perf_counter() - start,
    )


def _work(params: FastestParams) -> dict[str, float]:
    """The stages in seconds, roughly."""
    forward = 0.01 * params.evaluation_samples
    return {
        "trace": 5,
        "calibration": 0.02 * params.calibration_samples,
        "prediction": 8 * (params.seconds + 2),
        "fp32": forward,
        "samples": 20 * forward,
        "plans": params.most_tried * forward,
    }


@dataclass
class PlanSearch:
    """The plans tried so far.

    Attributes:
        params: the target and how many plans to try at the most.
        deployment: the model.
        model: predicts latency.
        reference: the fp32 model on the evaluation samples.
        statistics: what its accuracy is made of.
        report: told of every step.
        steps: in the order they were tried.
    """

    params: FastestParams
    deployment: Deployment
    model: SpeedModel
    reference: Answering
    statistics: Statistics
    report: Report
    steps: list[SpeedStep] = field(default_factory=list)

    @property
    def fp32(self) -> float:
        """Accuracy in floating point, in %."""
        return self.deployment.setup.task.accuracy_of(self.statistics)

    @property
    def best(self) -> SpeedStep | None:
        """The fastest of those within the target."""
        within = [step for step in self.steps if step.relative >= -self.params.target]
        return min(within, key=lambda step: step.predicted_ms, default=None)

    def run(self, order: Sequence[str]) -> None:
        """Tries plans.

        Args:
            order: sites in int8, those first that should leave it first.
        """
        free = self._not_paying()
        self._try((), "all sites in int8")
        if free:
            self._try(free, "int8 does not pay at these sites")
        rest = [site for site in order if site not in free]
        low, high = -1, len(rest)  # at `low` the loss is too large, at `high` it is not
        if self.steps[-1].relative >= -self.params.target:
            return  # the fastest plan that there is
        low = 0
        while high - low > 1 and self._left() > 0:
            middle = (low + high) // 2
            step = self._try((*free, *rest[:middle]), f"the {middle} sites that lose most for their time")
            low, high = (low, middle) if step.relative >= -self.params.target else (middle, high)
        if high == len(rest):
            self._try((*free, *rest[:high]), "all sites in floating point")
        skipped = (*free, *rest[:high])
        gains = self.model.gains()
        for site in sorted(rest[:high], key=lambda site: -gains.get(site, 0.0)):
            if self._left() <= 0:
                return
            fewer = tuple(other for other in skipped if other != site)
            if self.model.predict(fewer) < self.model.predict(skipped):
                step = self._try(fewer, f"{site} in int8 again")
                if step.relative >= -self.params.target:
                    skipped = fewer

    def _left(self) -> int:
        return self.params.most_tried - len(self.steps)

    def _not_paying(self) -> tuple[str, ...]:
        """Sites without which the prediction is faster, taken away one after the other."""
        skipped: tuple[str, ...] = ()
        for site, gain in sorted(self.model.gains().items(), key=lambda pair: pair[1]):
            if gain < 0 and self.model.predict((*skipped, site)) < self.model.predict(skipped):
                skipped = (*skipped, site)
        return skipped

    def _try(self, skipped: tuple[str, ...], why: str) -> SpeedStep:
        simulation = self.deployment.simulation(self.deployment.plan.skipping(*skipped))
        comparison = compared(self.reference, {"": simulation}, silent, "")[""]
        accuracy = self.deployment.setup.task.accuracy_of(comparison.statistics)
        loss = relative(accuracy, self.fp32)
        step = SpeedStep(
            skipped=skipped,
            accuracy=accuracy,
            relative=loss,
            predicted_ms=self.model.predict(skipped),
            accepted=loss >= -self.params.target,
            why=why,
        )
        self.steps.append(step)
        self.report("row", **step.model_dump(mode="json"))
        self.report("progress", stage="plans", done=len(self.steps), total=self.params.most_tried)
        return step


def _order(
    params: FastestParams,
    deployment: Deployment,
    model: SpeedModel,
    reference: Answering,
    statistics: Statistics,
    report: Report,
    folder: Path | None,
) -> list[str]:
    """Sites in int8 by what they lose (divergence of the outputs, alone in int8) for the time they gain."""
    baseline = Baseline(
        **deployment.values(),
        reference=reference,
        statistics=statistics,
        fp32_seconds=0.0,
        report=report,
        snapshot=Snapshot(silent),
        checkpoint=Checkpoint(folder, digest("fastest", params)),
        memory_bytes=params.memory_mb * 2**20,
    )
    measured = sensitivity.measure_sites(baseline, "only", "divergence").comparisons
    gains = model.gains()
    smallest = 1e-6 * model.float_ms
    loss = {
        site: change(baseline.task, comparison)["divergence"] / max(gains[site], smallest)
        for site, comparison in measured.items()
        if site in gains
    }
    return sorted(loss, key=lambda site: -loss[site])


def _measured(deployment: Deployment, params: FastestParams, skipped: tuple[str, ...], folder: Path) -> float:
    """Shortest latency of a plan in ms."""

    plan: Plan | None = deployment.plan.skipping(*skipped)
    if plan is not None and len(deployment.float_sites(plan)) == len(deployment.coverage.sites):
        plan = None
    with opened(deployment, params.engine, plan, params.batch, params.threads, folder) as process:
        timed = Timed(process)
        measure([timed], params.seconds, _ROUNDS)
        return min(min(times) for times in timed.rounds)
