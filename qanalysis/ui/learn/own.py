"""The reader's own model as a row of the paper's tables, from what the store has measured."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from qanalysis.jobs.store import Store
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.accuracy import WeightsParams
from qanalysis.schema.params.task import QuantizationParams, TaskParams
from qanalysis.schema.results.accuracy import PtqResult
from qanalysis.schema.results.common import Result
from qanalysis.schema.results.qat import QatResult
from qanalysis.schema.results.sensitivity import Partial, PartialResult, SensitivityResult
from qanalysis.schema.results.weights import WeightsResult
from qanalysis.ui.parts.results import loaded

#: Newest jobs that are looked at.
_MOST = 300
#: Analyses whose results fill a table.
SOURCES: Mapping[str, tuple[str, ...]] = {
    "3": ("weights",),
    "4": ("weights",),
    "5": ("ptq",),
    "6": ("partial", "sensitivity"),
    "7": ("qat", "ptq"),
    "8": ("qat",),
    "11": ("qat",),
    "12": ("ptq",),
}


@dataclass(frozen=True)
class Own:
    """A measured row.

    Attributes:
        fp32: accuracy in floating point, in %.
        accuracies: by column of the table, in %.
        calibrations: by column, where there is one.
    """

    fp32: float
    accuracies: dict[str, float]
    calibrations: dict[str, str]


def own(table: str, model: str, data: str, store: Store) -> Own | None:
    """The newest int8 results for a model that fit a table; None where nothing was measured.

    Args:
        table: number of the table.
        model: name of the model.
        data: name of the data.
        store: where the results are.
    """
    fp32: float | None = None
    accuracies: dict[str, float] = {}
    calibrations: dict[str, str] = {}
    for result in _results(SOURCES[table], model, data, store):
        for column, (accuracy, calibration) in _cells(table, result).items():
            if column in accuracies or (fp32 is not None and fp32 != _fp32(result)):
                continue  # a newer one is there, or this one was measured on other images
            fp32 = _fp32(result)
            accuracies[column] = accuracy
            if calibration:
                calibrations[column] = calibration
    return None if fp32 is None or not fp32 else Own(fp32, accuracies, calibrations)


def _results(analyses: tuple[str, ...], model: str, data: str, store: Store) -> Iterator[Result]:
    """Finished results of int8 by these analyses, newest first."""
    for job in store.jobs(_MOST):
        fits = job.analysis in analyses and (job.params.model, job.params.data) == (model, data)
        if not fits or job.state != "finished" or not _in_int8(job.params):
            continue
        try:
            yield loaded(job, store)
        except UserError:  # its file is gone
            continue


def _in_int8(params: TaskParams) -> bool:
    if isinstance(params, WeightsParams):
        return params.bits == 8
    if not isinstance(params, QuantizationParams) or params.plan is not None or params.skip:
        return False
    plan = params.effective_plan()
    return plan.weight_bits == plan.activation_bits == 8


def _fp32(result: Result) -> float:
    if isinstance(result, QatResult):
        return result.fp32.accuracy
    assert isinstance(result, PtqResult | WeightsResult | PartialResult | SensitivityResult)
    return result.fp32


def _cells(table: str, result: Result) -> dict[str, tuple[float, str]]:
    """Accuracy and calibration by column."""
    if isinstance(result, WeightsResult):
        named = {row.granularity + " folded" * row.folded: row.accuracy for row in result.rows}
        if table == "4":
            return {"int8 weights": (named["per-channel"], "max")} if "per-channel" in named else {}
        return {name: (accuracy, "") for name, accuracy in named.items()}
    if isinstance(result, PtqResult):
        if table == "7":
            best = max(result.rows, key=lambda row: row.accuracy)
            return {"PTQ": (best.accuracy, best.calibration)}
        return {row.calibration: (row.accuracy, row.calibration) for row in result.rows}
    if isinstance(result, SensitivityResult | PartialResult):
        return _partial(result.partial, result.params.effective_calibration)
    if isinstance(result, QatResult):
        return _trained(table, result)
    return {}


def _partial(partial: Partial | None, calibration: str) -> dict[str, tuple[float, str]]:
    if partial is None or not partial.steps:
        return {}
    chosen = partial.steps[-1 if partial.chosen is None else partial.chosen]
    return {
        "full int8": (partial.steps[0].accuracy, calibration),
        "partial int8": (chosen.accuracy, calibration),
    }


def _trained(table: str, result: QatResult) -> dict[str, tuple[float, str]]:
    start, accuracy = result.calibration, result.qat.accuracy
    if table == "11":
        return {start: (accuracy, start)} if result.params.ranges == "fixed" else {}
    if table == "8":
        looked_for = result.params.calibration != "max"
        return {f"{result.params.ranges}, from {'best' if looked_for else 'max'}": (accuracy, start)}
    return {"PTQ": (result.ptq.accuracy, start), "QAT": (accuracy, start)}
