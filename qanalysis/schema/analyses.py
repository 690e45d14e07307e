"""The table of analyses: for each its parameters, its result, what it asks of a device, and where its code is.

One line here, and one word in each layer: the command line, pages, configuration files, jobs and reports know it then
(docs/adding-an-analysis.md).
"""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from qanalysis.schema.errors import UserError
from qanalysis.schema.params.accuracy import (
    AnswersParams,
    CalibrateParams,
    ClipParams,
    DescribeParams,
    EvaluateParams,
    PartialParams,
    PlanParams,
    PtqParams,
    SensitivityParams,
    TrialsParams,
    WeightsParams,
)
from qanalysis.schema.params.deploy import BenchmarkParams, ExportParams, FastestParams
from qanalysis.schema.params.qat import QatParams
from qanalysis.schema.params.task import TaskParams
from qanalysis.schema.params.workflow import WorkflowParams
from qanalysis.schema.results.accuracy import EvaluateResult, PtqResult
from qanalysis.schema.results.answers import AnswersResult
from qanalysis.schema.results.benchmark import BenchmarkResult, FastestResult
from qanalysis.schema.results.calibration import CalibrateResult, DescribeResult
from qanalysis.schema.results.clip import ClipResult
from qanalysis.schema.results.common import Result
from qanalysis.schema.results.export import ExportResult
from qanalysis.schema.results.qat import QatResult
from qanalysis.schema.results.sensitivity import PartialResult, PlanResult, SensitivityResult, TrialsResult
from qanalysis.schema.results.weights import WeightsResult
from qanalysis.schema.results.workflow import WorkflowResult

#: What a job asks of its device. Light jobs run beside others, and so do those that mostly wait for a person; of heavy
#: ones a device runs one at a time; one that measures time needs its device alone.
Weight = Literal["light", "interactive", "heavy", "exclusive"]


@dataclass(frozen=True)
class Analysis:
    """One kind of question about a model.

    Attributes:
        params: class of its parameters, from which the command's options are made.
        result: class of its result.
        weight: what a job of it asks of its device.
        function: `package.module:function`, called `(params, report, folder) -> result`; imported when it is run.
        interactive: whether only the dashboard starts it: it takes requests while it runs.
        packages: that it needs besides what the tool always needs.
    """

    params: type[TaskParams]
    result: type[Result]
    weight: Weight
    function: str
    interactive: bool = False
    packages: tuple[str, ...] = ()

    @property
    def run(self) -> Callable[..., Result]:
        """Its function; what it needs, PyTorch above all, is imported now and not before.

        Raises:
            UserError: if a package is missing, with how to get it.
        """
        need(*self.packages)
        module, _, name = self.function.partition(":")
        function: Callable[..., Result] = getattr(importlib.import_module(module), name)
        return function


def need(*packages: str) -> None:
    """Refuses to start where a package is missing.

    Raises:
        UserError: naming the first that is, and how to get it.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise UserError(f"This needs the package {package}: install it with pip install 'qanalysis[engines]'.")


_ENGINES = ("onnx", "onnxscript", "onnxruntime")
#: In the order of the paper's workflow, in which help and reports list them.
ANALYSES: dict[str, Analysis] = {
    "describe": Analysis(DescribeParams, DescribeResult, "light", "qanalysis.analysis.describe:run"),
    "evaluate": Analysis(EvaluateParams, EvaluateResult, "light", "qanalysis.analysis.evaluate:run"),
    "calibrate": Analysis(CalibrateParams, CalibrateResult, "light", "qanalysis.analysis.calibrate:run"),
    "ptq": Analysis(PtqParams, PtqResult, "heavy", "qanalysis.analysis.ptq:run"),
    "clip": Analysis(ClipParams, ClipResult, "heavy", "qanalysis.analysis.clip:run"),
    "weights": Analysis(WeightsParams, WeightsResult, "light", "qanalysis.analysis.weights:run"),
    "sensitivity": Analysis(SensitivityParams, SensitivityResult, "heavy", "qanalysis.analysis.sensitivity:run"),
    "partial": Analysis(PartialParams, PartialResult, "heavy", "qanalysis.analysis.partial:run"),
    "plan": Analysis(PlanParams, PlanResult, "light", "qanalysis.analysis.plan:run"),
    "qat": Analysis(QatParams, QatResult, "heavy", "qanalysis.analysis.qat:run"),
    "answers": Analysis(AnswersParams, AnswersResult, "light", "qanalysis.analysis.answers:run"),
    "export": Analysis(ExportParams, ExportResult, "light", "qanalysis.analysis.export:run", packages=_ENGINES),
    "benchmark": Analysis(
        BenchmarkParams, BenchmarkResult, "exclusive", "qanalysis.analysis.benchmark:run", packages=_ENGINES
    ),
    "fastest": Analysis(FastestParams, FastestResult, "exclusive", "qanalysis.analysis.fastest:run", packages=_ENGINES),
    "trials": Analysis(TrialsParams, TrialsResult, "interactive", "qanalysis.analysis.trials:run", interactive=True),
    "workflow": Analysis(WorkflowParams, WorkflowResult, "heavy", "qanalysis.analysis.workflow:run"),
}
#: Those that a person starts by name.
COMMANDS = tuple(name for name, analysis in ANALYSES.items() if not analysis.interactive)
