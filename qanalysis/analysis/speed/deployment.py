"""Deployment: a model under a plan on its way to an engine, with everything that export and benchmarks need of it."""

import copy
import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from qanalysis import task as tasks
from qanalysis.analysis.calibrate import observed, range_tables
from qanalysis.analysis.measure.baseline import float_sites
from qanalysis.analysis.measure.progress import Report
from qanalysis.nn.fold import Folded, fold_batch_norm
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.nn.residual import ROLES, ResidualQuantizedModel, observe_residuals
from qanalysis.numerics.calibrate import parse
from qanalysis.schema.errors import UserError
from qanalysis.schema.flavours import Residual
from qanalysis.schema.observations import Observations, RangeTable
from qanalysis.schema.params.deploy import DeployParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.site import TensorId
from qanalysis.task import Task

if TYPE_CHECKING:
    from qanalysis.engines.export.graph import Network
    from qanalysis.engines.export.operands import Operands
    from qanalysis.engines.export.trace import Traced


def needs(*packages: str) -> None:
    """Refuses to start where a package is missing.

    Raises:
        UserError: naming the first that is, and how to get it.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise UserError(f"This needs the package {package}: install it with pip install 'qanalysis[engines]'.")


@dataclass(frozen=True, eq=False)
class Deployment:
    """A traced model with its ranges; networks of any plan are made from it in milliseconds.

    Attributes:
        task: model and data.
        module: the model on the CPU, as it is simulated.
        folded: its copy with batch norm folded.
        example: a batch of inputs on the CPU.
        observations: histograms of all activations.
        ranges: of all activations, and of operands of residual additions that are in int8.
        traced: the folded model as ONNX with markers.
        plan: the plan that was asked for.
        residual: which operands of residual additions are in int8.
        trace_seconds: time to fold and trace.
    """

    task: Task
    module: nn.Module
    folded: Folded
    example: torch.Tensor
    observations: Observations
    ranges: RangeTable
    traced: "Traced"
    plan: Plan
    residual: Residual
    trace_seconds: float

    @property
    def dtype(self) -> str:
        """NumPy's name of the inputs' type."""
        return str(self.example.numpy().dtype)

    def operands(self, plan: Plan) -> "Operands":
        """Integers and steps under a plan.

        Raises:
            UserError: if engines cannot execute the plan.
        """
        from qanalysis.engines.export.operands import operands

        around = self.traced.residuals
        residuals = {TensorId(name, role): around[name] for name in around for role in ROLES[self.residual]}
        return operands(self.module, self.folded, self.example, plan, self.ranges, residuals)

    def network(self, plan: Plan) -> "Network":
        """The ONNX network under a plan.

        Raises:
            UserError: if it cannot be exported, naming the site.
        """
        from qanalysis.engines.export.graph import network

        return network(self.traced, self.operands(plan))

    def float_network(self) -> "Network":
        """The ONNX network in floating point."""
        from qanalysis.engines.export.graph import network
        from qanalysis.engines.export.operands import FLOAT

        return network(self.traced, FLOAT)

    def simulation(self, plan: Plan) -> Callable[[torch.Tensor], Any]:
        """The model under a plan as every other analysis executes it, on the task's device."""
        kind = QuantizedModel if self.residual == "fp" else ResidualQuantizedModel
        return kind(self.task.model.module, plan, self.ranges)

    def float_sites(self, plan: Plan) -> dict[str, str]:
        """Sites that stay in floating point under a plan, and why."""
        return float_sites(plan, self.observations.coverage, self.ranges)


def prepared(params: DeployParams, report: Report) -> Deployment:
    """Loads, checks, calibrates and traces.

    Raises:
        UserError: with one sentence: bad names, files or data, a plan of another model or one that engines cannot
            execute, an operator without an ONNX form, or a missing package.
    """
    needs("onnx", "onnxscript", "onnxruntime")
    from qanalysis.engines.export.operands import check_exportable
    from qanalysis.engines.export.trace import trace

    task = tasks.load(params)
    plan = params.checked_plan(task.coverage)
    check_exportable(plan, tuple(site.name for site in task.coverage.sites))
    module = copy.deepcopy(task.model.module).cpu()
    example = task.example().cpu()
    report("progress", stage="trace", done=0, total=1)
    began = time.perf_counter()
    folded = fold_batch_norm(module, example)
    traced = trace(folded.model, example)
    seconds = time.perf_counter() - began
    report("progress", stage="trace", done=1, total=1)
    observations = observed(task, task.model.module, params.calibration_samples, report)
    name = params.effective_calibration
    table = range_tables(observations, (name,), plan, report)[name]
    if params.residual != "fp":
        table = _with_residuals(task, traced, table, plan, params)
    return Deployment(task, module, folded, example, observations, table, traced, plan, params.residual, seconds)


def _with_residuals(task: Task, traced: "Traced", table: RangeTable, plan: Plan, params: DeployParams) -> RangeTable:
    inputs = task.inputs(task.data.calibration, params.calibration_samples)
    calibrate = parse(table.calibration if table.calibration != "trained" else "max")
    ranges = dict(table.ranges)
    roles = ROLES[params.residual]
    for tensor, histogram in observe_residuals(task.model.module, inputs, roles).items():
        around = traced.residuals.get(tensor.site)
        spec = None if around is None else plan.activation_spec(around)
        if spec is not None:
            ranges[tensor] = calibrate(histogram, spec)
    return RangeTable(table.calibration, ranges)
