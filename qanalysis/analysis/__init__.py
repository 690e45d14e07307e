"""The analyses, one module per question, each `run(params, report, folder) -> frozen result`, and the table of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qanalysis.analysis import (
    answers,
    benchmark,
    calibrate,
    describe,
    evaluate,
    export,
    fastest,
    partial,
    plan,
    ptq,
    qat,
    sensitivity,
    trials,
    weights,
    workflow,
)
from qanalysis.analysis.measure.progress import Report
from qanalysis.schema.results.common import Result

ANALYSES: dict[str, Callable[[Any, Report, Path | None], Result]] = {
    "describe": describe.run,
    "evaluate": evaluate.run,
    "calibrate": calibrate.run,
    "ptq": ptq.run,
    "answers": answers.run,
    "weights": weights.run,
    "sensitivity": sensitivity.run,
    "partial": partial.run,
    "plan": plan.run,
    "export": export.run,
    "benchmark": benchmark.run,
    "fastest": fastest.run,
    "qat": qat.run,
    "trials": trials.run,
    "workflow": workflow.run,
}
