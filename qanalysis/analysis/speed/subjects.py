"""Subjects: which engines, precisions and plans a benchmark measures, and what they are measured on."""

from dataclasses import dataclass

from qanalysis.engines.features import features
from qanalysis.engines.registry import ENGINES
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.deploy import BenchmarkParams
from qanalysis.schema.results.benchmark import BenchmarkEnvironment, Load
from qanalysis.setup import Setup

#: Name of the plan that was asked for, in rows.
PLAN = "plan"


@dataclass(frozen=True)
class Subject:
    """One network to be measured.

    Attributes:
        engine: name of the engine.
        precision: what the engine is asked for.
        plan: name of the plan; empty in floating point.
    """

    engine: str
    precision: str
    plan: str = ""


def chosen(params: BenchmarkParams) -> tuple[list[Subject], list[str]]:
    """Networks to measure, and sentences on what an engine here cannot do.

    Raises:
        UserError: if nothing is left.
    """

    subjects, notes = [], []
    for name in params.engines:
        reason = ENGINES[name].available()
        if reason is not None:
            notes.append(f"{name} was not measured: {reason}")
            continue
        able = ENGINES[name].precisions()
        for precision in params.precisions:
            if precision not in able:
                notes.append(f"{name} was not measured in {precision}, which it does not offer here.")
            elif precision.startswith("int8"):
                subjects += [Subject(name, precision, plan) for plan in (PLAN, *(saved.name for saved in params.plans))]
            else:
                subjects.append(Subject(name, precision))
    if not subjects:
        raise UserError("There is nothing to measure: " + " ".join(notes))
    return subjects, notes


def environment(setup: Setup, load: Load) -> BenchmarkEnvironment:
    """Versions, processors, engines, and what else the machine did."""
    here = features()
    reasons = {name: engine.available() for name, engine in ENGINES.items()}
    return BenchmarkEnvironment(
        **setup.environment().model_dump(),
        cpu=here.cpu,
        cores=here.cores,
        cpu_features=here.cpu_features,
        gpus=tuple(name for name, _ in here.gpus),
        gpu_features=here.gpu_features,
        int8_ratio=here.int8_ratio,
        bf16_ratio=here.bf16_ratio,
        engines={name: ENGINES[name].version() for name, reason in reasons.items() if reason is None},
        missing={name: reason for name, reason in reasons.items() if reason is not None},
        machine_load=load,
    )
