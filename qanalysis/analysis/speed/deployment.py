"""Deployment: a model under a plan on its way to an engine, with everything that export and benchmarks need of it."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from qanalysis import task as tasks
from qanalysis.analysis.measure.ground import Ground, calibrated
from qanalysis.analysis.measure.progress import Report
from qanalysis.engines.export.graph import Network, network
from qanalysis.engines.export.operands import FLOAT, Operands, check_exportable, operands
from qanalysis.engines.export.trace import Traced, trace
from qanalysis.nn.fold import Folded, fold_batch_norm
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.nn.residual import ROLES, ResidualQuantizedModel, observe_residuals
from qanalysis.numerics.calibrate import parse
from qanalysis.schema.flavours import Residual
from qanalysis.schema.observations import RangeTable
from qanalysis.schema.params.deploy import DeployParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.site import TensorId


@dataclass(frozen=True, eq=False)
class Deployment(Ground):
    """A traced model with its ranges; networks of any plan are made from it in milliseconds.

    Attributes:
        tables: ranges of all activations, and of operands of residual additions that are in int8.
        on_cpu: the model on the CPU, as it is simulated.
        folded: its copy with batch norm folded.
        example: a batch of inputs on the CPU.
        traced: the folded model as ONNX with markers.
        residual: which operands of residual additions are in int8.
        trace_seconds: time to fold and trace.
    """

    on_cpu: nn.Module
    folded: Folded
    example: torch.Tensor
    traced: Traced
    residual: Residual
    trace_seconds: float

    @property
    def dtype(self) -> str:
        """NumPy's name of the inputs' type."""
        return str(self.example.numpy().dtype)

    def operands(self, plan: Plan) -> Operands:
        """Integers and steps under a plan.

        Raises:
            UserError: if engines cannot execute the plan.
        """

        around = self.traced.residuals
        residuals = {TensorId(name, role): around[name] for name in around for role in ROLES[self.residual]}
        return operands(self.on_cpu, self.folded, self.example, plan, self.ranges, residuals)

    def network(self, plan: Plan) -> Network:
        """The ONNX network under a plan.

        Raises:
            UserError: if it cannot be exported, naming the site.
        """

        return network(self.traced, self.operands(plan))

    def float_network(self) -> Network:
        """The ONNX network in floating point."""

        return network(self.traced, FLOAT)

    def simulation(self, plan: Plan) -> Callable[[torch.Tensor], Any]:
        """The model under a plan as every other analysis executes it, on the task's device."""
        kind = QuantizedModel if self.residual == "fp" else ResidualQuantizedModel
        return kind(self.task.model.module, plan, self.ranges)


def prepared(params: DeployParams, report: Report) -> Deployment:
    """Loads, checks, calibrates and traces.

    Raises:
        UserError: with one sentence: bad names, files or data, a plan of another model or one that engines cannot
            execute, an operator without an ONNX form, or a missing package.
    """

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
    name = params.effective_calibration
    ground = calibrated(task, plan, (name,), params.calibration_samples, report)
    if params.residual != "fp":
        ground = replace(ground, tables={name: _with_residuals(ground, traced, params)})
    return Deployment(
        **ground.values(),
        on_cpu=module,
        folded=folded,
        example=example,
        traced=traced,
        residual=params.residual,
        trace_seconds=seconds,
    )


def _with_residuals(ground: Ground, traced: Traced, params: DeployParams) -> RangeTable:
    task, table = ground.task, ground.ranges
    inputs = task.inputs(task.data.calibration, params.calibration_samples)
    calibrate = parse(table.calibration if table.calibration != "trained" else "max")
    ranges = dict(table.ranges)
    roles = ROLES[params.residual]
    for tensor, histogram in observe_residuals(task.model.module, inputs, roles).items():
        around = traced.residuals.get(tensor.site)
        spec = None if around is None else ground.plan.activation_spec(around)
        if spec is not None:
            ranges[tensor] = calibrate(histogram, spec)
    return RangeTable(table.calibration, ranges)
