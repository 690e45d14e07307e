"""Deployment: a model under a plan on its way to an engine, with everything that export and benchmarks need of it."""

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from qanalysis import setup as setups
from qanalysis.analysis.measure.ground import Ground, calibrated
from qanalysis.analysis.measure.progress import Report
from qanalysis.engines.export.graph import Network, network
from qanalysis.engines.export.operands import FLOAT, Operands, check_exportable, operands
from qanalysis.engines.export.trace import Traced, trace
from qanalysis.engines.export.whole import kept_whole
from qanalysis.engines.protocol import Arrays, Precision, Source
from qanalysis.nn.fold import Folded, fold_batch_norm
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.nn.residual import ROLES, ResidualQuantizedModel, observe_residuals
from qanalysis.nn.structure import Inputs, on
from qanalysis.numerics.calibrate import parse
from qanalysis.schema.flavours import Residual
from qanalysis.schema.observations import RangeTable
from qanalysis.schema.params.deploy import DeployParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.site import TensorId
from qanalysis.tasks.cut import INPUT, Cut, Tensors


@dataclass(frozen=True, eq=False)
class Deployment(Ground):
    """A traced model with its ranges; networks of any plan are made from it in milliseconds.

    Attributes:
        tables: ranges of all activations, and of operands of residual additions that are in int8.
        on_cpu: the model on the CPU, as it is simulated.
        folded: its copy with batch norm folded.
        cut: what of the model is in files.
        example: the files' inputs for one sample, on the CPU.
        traced: the folded model as ONNX with markers.
        whole: sites within layers that files keep in one piece, in floating point, with the reason.
        residual: which operands of residual additions are in int8.
        trace_seconds: time to fold and trace.
    """

    on_cpu: nn.Module
    folded: Folded
    cut: Cut
    example: Tensors
    traced: Traced
    whole: Mapping[str, str]
    residual: Residual
    trace_seconds: float

    def float_sites(self, plan: Plan | None = None) -> dict[str, str]:
        """See `Ground.float_sites`; sites that are in no file are among them."""
        reasons = super().float_sites(plan)
        for name, reason in self.whole.items():
            reasons.setdefault(name, reason)
        for site in self.coverage.sites:
            if site.name not in self.in_file:
                reasons.setdefault(site.name, "not in the file: it is left to PyTorch")
        return reasons

    @property
    def in_file(self) -> frozenset[str]:
        """Names of the sites that are in files."""
        return frozenset(self.traced.sites)

    def source(
        self,
        path: Path,
        precision: Precision,
        batch: int,
        threads: int,
        device: str = "cpu",
    ) -> Source:
        """What an engine is to compile.

        Args:
            path: the file; an example of its inputs is written beside it where they matter.
            precision: what is asked for.
            batch: samples of one inference.
            threads: of the engine; 0 for all cores.
            device: where PyTorch runs.
        """
        first = next(iter(self.example.values()))
        example = ""
        if tuple(self.example) != (INPUT,) or not first.is_floating_point():
            place = path.parent / "example.npz"
            np.savez(place, allow_pickle=False, **{name: tensor.numpy() for name, tensor in self.example.items()})
            example = str(place)
        return Source(
            path=str(path),
            model=self.setup.model.name,
            precision=precision,
            batch=batch,
            shape=tuple(first.shape[1:]),
            threads=threads,
            device=device,
            dtype=str(first.numpy().dtype),
            example=example,
            task=self.setup.task.name,
        )

    def finished(self, outputs: Arrays, inputs: Inputs, plan: Plan | None) -> Any:
        """What the model would have returned, from a file's outputs; what is not in the file runs as simulated.

        Args:
            outputs: of the file.
            inputs: of the model.
            plan: of the file; None in floating point.
        """
        model = self.setup.model.module if plan is None else self.simulation(plan)
        tensors = {name: torch.from_numpy(value) for name, value in outputs.items()}
        return self.cut.finish(model, tensors, inputs)

    def fed(self, inputs: Inputs) -> Arrays:
        """A file's inputs from those of the model."""
        with torch.no_grad():
            tensors = self.cut.inputs(self.setup.model.module, inputs)
        return {name: tensor.cpu().contiguous().numpy() for name, tensor in tensors.items()}

    def operands(self, plan: Plan) -> Operands:
        """Integers and steps under a plan.

        Raises:
            UserError: if engines cannot execute the plan.
        """

        around = self.traced.residuals
        residuals = {TensorId(name, role): around[name] for name in around for role in ROLES[self.residual]}
        return operands(self.on_cpu, self.folded, self.cut, self.example, plan, self.ranges, residuals)

    def network(self, plan: Plan) -> Network:
        """The ONNX network under a plan.

        Raises:
            UserError: if it cannot be exported, naming the site.
        """

        return network(self.traced, self.operands(plan))

    def float_network(self) -> Network:
        """The ONNX network in floating point."""

        return network(self.traced, FLOAT)

    def simulation(self, plan: Plan) -> QuantizedModel:
        """The model under a plan as every other analysis executes it, on the setup's device.

        What files keep in floating point is not quantized here either.
        """
        kind = QuantizedModel if self.residual == "fp" else ResidualQuantizedModel
        return kind(self.setup.model.module, plan.skipping(*self.whole), self.ranges)


def prepared(params: DeployParams, report: Report) -> Deployment:
    """Loads, checks, calibrates and traces.

    Raises:
        UserError: with one sentence: bad names, files or data, a plan of another model or one that engines cannot
            execute, an operator without an ONNX form, or a missing package.
    """

    setup = setups.load(params)
    plan = params.checked_plan(setup.coverage)
    check_exportable(plan, tuple(site.name for site in setup.coverage.sites))
    module = copy.deepcopy(setup.model.module).cpu()
    given = on(setup.example(), "cpu")
    report("progress", stage="trace", done=0, total=1)
    began = time.perf_counter()
    folded = fold_batch_norm(module, given, setup.task.call)
    cut = setup.task.cut(module, given)
    with torch.no_grad():
        example = cut.inputs(module, given)
    traced = trace(folded.model, cut, example, dynamic_size=params.dynamic_size)
    seconds = time.perf_counter() - began
    report("progress", stage="trace", done=1, total=1)
    name = params.effective_calibration
    ground = calibrated(setup, plan, (name,), params.calibration_samples, report)
    if params.residual != "fp":
        ground = replace(ground, tables={name: _with_residuals(ground, traced, params)})
    return Deployment(
        **ground.values(),
        on_cpu=module,
        folded=folded,
        cut=cut,
        example=example,
        traced=traced,
        whole=kept_whole(folded.model, cut, example),
        residual=params.residual,
        trace_seconds=seconds,
    )


def _with_residuals(ground: Ground, traced: Traced, params: DeployParams) -> RangeTable:
    setup, table = ground.setup, ground.ranges
    inputs = setup.inputs(setup.data.calibration, params.calibration_samples)
    calibrate = parse(table.calibration if table.calibration != "trained" else "max")
    ranges = dict(table.ranges)
    roles = ROLES[params.residual]
    for tensor, histogram in observe_residuals(setup.model.module, inputs, roles, setup.task.call).items():
        around = traced.residuals.get(tensor.site)
        spec = None if around is None else ground.plan.activation_spec(around)
        if spec is not None:
            ranges[tensor] = calibrate(histogram, spec)
    return RangeTable(table.calibration, ranges)
