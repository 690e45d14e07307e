"""See what int8 quantization does to a network, after Wu et al. 2020.

    import qanalysis

    result = qanalysis.run("ptq", model="sample:resnet20", calibrations=("max", "entropy"))
    print(result.fp32, [(row.calibration, row.accuracy) for row in result.rows])
    again = qanalysis.run_file("ptq.toml")  # a configuration file, as every page of the dashboard offers it

`run` is what the command line and the dashboard call, too. The parts it is made of are public as well, all under their
names here (docs/python.md). They are imported when they are first used: drawing results does not need PyTorch.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qanalysis import names
from qanalysis.schema import configuration
from qanalysis.schema.analyses import ANALYSES
from qanalysis.schema.errors import StoreError, UserError
from qanalysis.schema.results.common import Result

if TYPE_CHECKING:
    from qanalysis import figures as figures
    from qanalysis.data import load as load_data
    from qanalysis.data.loaded import LoadedData
    from qanalysis.models import load as load_model
    from qanalysis.models.loaded import LoadedModel
    from qanalysis.nn.fold import fold_batch_norm
    from qanalysis.nn.learned import LearnedModel
    from qanalysis.nn.observe import coverage, observe
    from qanalysis.nn.quantized import QuantizedModel
    from qanalysis.nn.replay import Replay
    from qanalysis.numerics.calibrate import Entropy, Fixed, Max, Mse, Percentile
    from qanalysis.numerics.histogram import Histogram
    from qanalysis.numerics.spec import QuantizerSpec, Range
    from qanalysis.schema.observations import Observations, RangeTable
    from qanalysis.schema.plan import Override, Plan
    from qanalysis.schema.saved_plan import SavedPlan
    from qanalysis.schema.tasks import Words
    from qanalysis.tasks.task import Task

#: Public names that are imported when they are first asked for, and where they are.
_LATER = {
    "Entropy": "qanalysis.numerics.calibrate:Entropy",
    "Histogram": "qanalysis.numerics.histogram:Histogram",
    "LearnedModel": "qanalysis.nn.learned:LearnedModel",
    "LoadedData": "qanalysis.data.loaded:LoadedData",
    "LoadedModel": "qanalysis.models.loaded:LoadedModel",
    "Max": "qanalysis.numerics.calibrate:Max",
    "Mse": "qanalysis.numerics.calibrate:Mse",
    "Observations": "qanalysis.schema.observations:Observations",
    "Override": "qanalysis.schema.plan:Override",
    "Fixed": "qanalysis.numerics.calibrate:Fixed",
    "Percentile": "qanalysis.numerics.calibrate:Percentile",
    "Plan": "qanalysis.schema.plan:Plan",
    "QuantizedModel": "qanalysis.nn.quantized:QuantizedModel",
    "QuantizerSpec": "qanalysis.numerics.spec:QuantizerSpec",
    "Range": "qanalysis.numerics.spec:Range",
    "RangeTable": "qanalysis.schema.observations:RangeTable",
    "Replay": "qanalysis.nn.replay:Replay",
    "SavedPlan": "qanalysis.schema.saved_plan:SavedPlan",
    "Task": "qanalysis.tasks.task:Task",
    "Words": "qanalysis.schema.tasks:Words",
    "coverage": "qanalysis.nn.observe:coverage",
    "fold_batch_norm": "qanalysis.nn.fold:fold_batch_norm",
    "load_data": "qanalysis.data:load",
    "load_model": "qanalysis.models:load",
    "observe": "qanalysis.nn.observe:observe",
}

__all__ = [
    "ANALYSES",
    "Entropy",
    "Fixed",
    "Histogram",
    "LearnedModel",
    "LoadedData",
    "LoadedModel",
    "Max",
    "Mse",
    "Observations",
    "Override",
    "Percentile",
    "Plan",
    "QuantizedModel",
    "QuantizerSpec",
    "Range",
    "RangeTable",
    "Replay",
    "Result",
    "SavedPlan",
    "StoreError",
    "Task",
    "UserError",
    "Words",
    "coverage",
    "figures",
    "fold_batch_norm",
    "load_data",
    "load_model",
    "observe",
    "run",
    "run_file",
]


#: Parameters that may be objects.
_OBJECTS = ("model", "data", "task")


def __getattr__(name: str) -> Any:
    """A public name, imported now."""
    if name == "figures":
        return import_module("qanalysis.figures")
    if name not in _LATER:
        raise AttributeError(f"module 'qanalysis' has no attribute {name!r}")
    module, _, attribute = _LATER[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def run(analysis: str, *, folder: Path | None = None, **params: Any) -> Result:
    """Runs an analysis.

    Args:
        analysis: its name, a key of `ANALYSES`.
        folder: where to keep its files (histograms; what was measured, from which a run that was stopped goes on).
        params: fields of the analysis' parameters (`ANALYSES[analysis].params`). `model`, `data` and `task` may be
            objects in place of names: a module; datasets or loaders as `python:` data has them; a `Task`.

    Raises:
        UserError: with one sentence, for an unknown analysis, bad names, files or data.
        ValueError: pydantic's, for bad parameters.
    """
    if analysis not in ANALYSES:
        raise UserError(f"Unknown analysis {analysis!r}; choose from {', '.join(ANALYSES)}.")
    chosen = ANALYSES[analysis]
    params |= {key: names.give(params[key]) for key in _OBJECTS if not isinstance(params.get(key, ""), str)}
    silent = import_module("qanalysis.analysis.measure.progress").silent  # with PyTorch, which drawing does not need
    return chosen.run(chosen.params(**params), silent, folder)


def run_file(path: str | Path, *, folder: Path | None = None, allow_python: bool = False) -> Result:
    """Runs what a configuration file says (`qanalysis.schema.configuration`).

    Args:
        path: the TOML file.
        folder: as for `run`.
        allow_python: whether names in the file may import code (`python:`).

    Raises:
        UserError: with one sentence, for a file that is not good or names code, and whatever `run` raises it for.
        OSError: if the file cannot be read.
    """
    analysis, params = configuration.load(Path(path))
    if not allow_python:
        remedy = "if you trust it, say allow_python=True."
        names.refuse_code(params.model, params.data, params.task, where=str(path), remedy=remedy)
    return run(analysis, folder=folder, **dict(params))
