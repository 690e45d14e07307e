"""Points: what a benchmark says of plans as wholes, their answers and accuracy against speed."""

from collections.abc import Mapping, Sequence

from qanalysis.analysis.measure.score import Answers, score
from qanalysis.analysis.speed.subjects import Subject
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.benchmark import AgreementRow, BenchmarkRow, PlanPoint
from qanalysis.schema.results.speed import pareto_front


def points(
    rows: Sequence[BenchmarkRow],
    engine: str | None,
    batch: int,
    plans: Mapping[str, Plan],
    simulated: Mapping[str, float],
    fp32: float,
) -> tuple[PlanPoint, ...]:
    """Every plan, and floating point, in one engine and for one batch size.

    Args:
        rows: what was timed.
        engine: the engine.
        batch: samples of one inference.
        plans: by the name that rows give them.
        simulated: accuracies of plans by name, in %.
        fp32: accuracy in floating point, in %.
    """
    found = [
        PlanPoint(
            name=row.plan or row.precision,
            plan=plans.get(row.plan),
            engine=row.engine,
            batch=batch,
            latency_ms=row.latency_ms.min,
            accuracy=simulated.get(row.plan, fp32),
            front=False,
        )
        for row in rows
        if row.engine == engine and row.batch == batch and row.precision in ("fp32", "int8")
    ]
    front = pareto_front([(point, point.latency_ms, point.accuracy) for point in found])
    return tuple(point.model_copy(update={"front": point in front}) for point in found)


def agreement_row(
    subject: Subject, measured: Answers, expected: Answers, reference: Answers, simulated: float
) -> AgreementRow:
    """An engine's answers against those expected of it.

    Args:
        subject: what was measured.
        measured: its answers.
        expected: those of the simulation, or of the model in floating point.
        reference: those of the model in floating point, which hold the labels.
        simulated: accuracy of the simulation, in %.
    """
    return AgreementRow(
        engine=subject.engine,
        precision=subject.precision,
        plan=subject.plan,
        samples=len(measured.logits),
        agreement=100 * float((measured.predictions == expected.predictions).mean()),
        accuracy=score(measured.hits(reference)).accuracy,
        simulated=simulated,
    )
