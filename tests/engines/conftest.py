"""A small network on its way to a file."""

from dataclasses import dataclass

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from qanalysis.engines.export.graph import Network, network
from qanalysis.engines.export.operands import Operands, operands
from qanalysis.engines.export.parity import SiteDifference, differences
from qanalysis.engines.export.trace import Traced, trace
from qanalysis.engines.reference import Reference
from qanalysis.nn.fold import Folded, fold_batch_norm
from qanalysis.nn.observe import observe
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.nn.residual import ROLES, ResidualQuantizedModel, observe_residuals
from qanalysis.numerics.calibrate import parse
from qanalysis.numerics.spec import QuantizerSpec
from qanalysis.schema import flavours
from qanalysis.schema.observations import RangeTable
from qanalysis.schema.plan import Plan
from qanalysis.schema.site import TensorId
from qanalysis.tasks.classification import Classification
from qanalysis.tasks.cut import INPUT, Cut
from tests.engines.networks import Attention, Pooled, Residual, Transposed, images, prepared


@dataclass(frozen=True)
class Case:
    module: nn.Module
    folded: Folded
    traced: Traced
    ranges: RangeTable
    inputs: torch.Tensor
    cut: Cut

    def operands(self, plan: Plan | None = None, residual: flavours.Residual = "fp") -> Operands:
        around = self.traced.residuals
        chosen = {TensorId(name, role): around[name] for name in around for role in ROLES[residual]}
        return operands(
            self.module, self.folded, self.cut, {INPUT: self.inputs[:1]}, plan or Plan(), self.ranges, chosen
        )

    def network(self, plan: Plan | None = None, residual: flavours.Residual = "fp") -> Network:
        return network(self.traced, self.operands(plan, residual))

    def simulation(self, plan: Plan | None = None, residual: flavours.Residual = "fp") -> QuantizedModel:
        """What every other analysis executes."""
        wanted = {t: r for t, r in self.ranges.ranges.items() if t.role not in ("residual", "product")}
        wanted |= {t: r for t, r in self.ranges.ranges.items() if t.role in ROLES[residual]}
        return ResidualQuantizedModel(self.module, plan or Plan(), RangeTable(self.ranges.calibration, wanted))

    def differences(self, net: Network, operands: Operands) -> tuple[SiteDifference, ...]:
        """Of a file from the simulation, site by site."""
        return differences(net, self.folded.model, self.cut, operands, {INPUT: self.inputs})


def traced(module: nn.Module, inputs: torch.Tensor) -> Traced:
    return trace(module, Classification().cut(module, inputs), {INPUT: inputs})


def ran(proto: onnx.ModelProto, inputs: np.ndarray) -> np.ndarray:
    """The only output of a file, executed by the reference runtime."""
    (output,) = Reference(proto).run({INPUT: inputs}).values()
    return output


def case(module: nn.Module, calibration: str = "max") -> Case:
    inputs = images()
    folded = fold_batch_norm(module, inputs[:1])
    observations = observe(module, [images(16, seed=2), inputs])
    table = observations.ranges(parse(calibration))
    residuals = observe_residuals(module, [images(16, seed=2), inputs])
    ranges = dict(table.ranges) | {t: parse(calibration)(h, QuantizerSpec()) for t, h in residuals.items()}
    cut = Classification().cut(module, inputs[:1])
    return Case(module, folded, traced(folded.model, inputs[:1]), RangeTable(calibration, ranges), inputs, cut)


@pytest.fixture(scope="package", params=[Residual, Attention, Transposed, Pooled], ids=lambda kind: kind.__name__)
def any_case(request):
    return case(prepared(request.param))


@pytest.fixture(scope="package")
def residual_case():
    return case(prepared(Residual))


@pytest.fixture(scope="package")
def pooled_case():
    return case(prepared(Pooled))
