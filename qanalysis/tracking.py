"""Tracking: a result sent to TensorBoard or MLflow, for those who keep their experiments there."""

import importlib.util
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qanalysis.insight.headline import headline
from qanalysis.schema.errors import UserError
from qanalysis.schema.results.accuracy import PtqResult
from qanalysis.schema.results.clip import ClipResult
from qanalysis.schema.results.common import Result
from qanalysis.schema.results.qat import QatResult, QatRun
from qanalysis.schema.results.sensitivity import PartialResult, SensitivityResult
from qanalysis.schema.results.weights import WeightsResult

#: Longest value that MLflow takes for a parameter.
_LONGEST = 500
#: A metric's name, its step, and its value.
Point = tuple[str, int, float]


def send(result: Result, target: str) -> str:
    """Sends a result; returns a sentence that says where it is.

    Args:
        result: of any analysis.
        target: `tensorboard:FOLDER` or `mlflow:URI`, e.g. `mlflow:runs` for a folder or `mlflow:http://host:5000`.

    Raises:
        UserError: for another target, or if its package is not installed.
        OSError: if the folder cannot be written to.
    """
    kind, place = check(target)
    return _TARGETS[kind](result, place)


def check(target: str) -> tuple[str, str]:
    """Kind and place of a target, before anything is run for it.

    Raises:
        UserError: for another target, or if its package is not installed.
    """
    kind, _, place = target.partition(":")
    if kind not in _TARGETS or not place:
        raise UserError(f"A result is sent to tensorboard:FOLDER or mlflow:URI, but got {target!r}.")
    if importlib.util.find_spec(kind) is None:
        raise UserError(f"{kind} is not installed: pip install 'qanalysis[tracking]'.")
    return kind, place


def parameters(result: Result) -> dict[str, str]:
    """What was set, as text, with model, data and versions."""
    params = getattr(result, "params", None)
    given = {} if params is None else {name: getattr(params, name) for name in type(params).model_fields}
    values = {name: _text(value) for name, value in given.items() if value is not None}
    environment = {f"environment.{name}": str(value) for name, value in result.environment}
    return {"analysis": _analysis(result), **values, "architecture": result.model.architecture, **environment}


def points(result: Result) -> Iterator[Point]:
    """What was measured: the headline's numbers, one point for each row, curves of training by step and epoch."""
    head = headline(result)
    if head is not None:
        names = ("fp32", "accuracy", "relative", "latency_ms", "speedup", "skipped")
        for name in names:
            value = getattr(head, name)
            if value is not None:
                yield name, 0, float(value)
    yield "seconds", 0, result.seconds
    if isinstance(result, PtqResult | ClipResult | WeightsResult):
        for number, accuracy in enumerate([row.accuracy for row in result.rows]):
            yield "rows/accuracy", number, accuracy
    if isinstance(result, SensitivityResult):
        for number, site in enumerate(result.rows):
            yield "sites/divergence", number, site.divergence
            yield "sites/accuracy", number, site.accuracy
    if isinstance(result, SensitivityResult | PartialResult) and result.partial is not None:
        for step in result.partial.steps:
            yield "partial/accuracy", len(step.skipped), step.accuracy
    if isinstance(result, QatResult):
        yield from _training("qat", result.run)
        if result.control is not None:
            yield from _training("control", result.control)


def _training(name: str, run: QatRun) -> Iterator[Point]:
    for step in run.steps:
        yield f"{name}/loss", step.step, step.loss
        yield f"{name}/learning_rate", step.step, step.learning_rate
    for epoch in run.epochs:
        yield f"{name}/accuracy", epoch.epoch, epoch.accuracy


def _tensorboard(result: Result, place: str) -> str:
    from torch.utils.tensorboard import SummaryWriter  # of the extra `tracking`

    folder = Path(place) / _name(result)
    with SummaryWriter(str(folder)) as writer:
        values = parameters(result)
        table = "\n".join(["| setting | value |", "| --- | --- |", *(f"| {n} | {v} |" for n, v in values.items())])
        writer.add_text("settings", table)
        writer.add_text("result", f"```json\n{result.model_dump_json(indent=1)[:100_000]}\n```")
        for name, step, value in points(result):
            writer.add_scalar(name, value, step)
    return f"Written for TensorBoard in {folder}; look at it with: tensorboard --logdir {place}"


def _mlflow(result: Result, place: str) -> str:
    import mlflow  # likewise

    if "://" in place:
        uri = place
    else:
        uri = Path(place).absolute().as_uri()
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # which a folder needs since MLflow 3
    try:
        client = mlflow.MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name("qanalysis")
        number = client.create_experiment("qanalysis") if experiment is None else experiment.experiment_id
        run = client.create_run(number, run_name=_name(result))
        for name, text in parameters(result).items():
            client.log_param(run.info.run_id, name, text[:_LONGEST])
        for name, step, value in points(result):
            client.log_metric(run.info.run_id, name, value, step=step)
        client.log_dict(run.info.run_id, result.model_dump(mode="json"), "result.json")
        client.set_terminated(run.info.run_id)
        return f"Sent to MLflow at {uri}, experiment qanalysis, run {run.info.run_id}."
    except mlflow.exceptions.MlflowException as error:
        raise UserError(f"MLflow at {uri} refused the result: {str(error).partition(chr(10))[0]}") from None


_TARGETS = {"tensorboard": _tensorboard, "mlflow": _mlflow}


def _name(result: Result) -> str:
    """Name of the run: analysis, architecture, and what tells it from others of the same second."""
    return f"{_analysis(result)}-{result.model.architecture}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"


def _analysis(result: Result) -> str:
    return str(getattr(result, "analysis", type(result).__name__))


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(_text(part) for part in value)
    return str(getattr(value, "name", value))
