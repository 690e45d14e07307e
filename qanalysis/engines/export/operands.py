"""Operands: the integers and steps that a file carries for each operand of each site under a plan (Eq. 6-8, 16)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from qanalysis.engines.export.whole import in_one_piece
from qanalysis.kernels.quantize import max_weight_params, quantize
from qanalysis.nn.fold import Folded, factor
from qanalysis.nn.residual import PRODUCT, ROLE
from qanalysis.nn.sites import Call, SiteMode
from qanalysis.numerics.spec import QuantizerSpec, step_and_zero_point
from qanalysis.schema.errors import UserError
from qanalysis.schema.executable import refusal
from qanalysis.schema.observations import RangeTable
from qanalysis.schema.plan import Plan
from qanalysis.schema.site import TensorId
from qanalysis.tasks.cut import Cut, Tensors

#: A site and the axis of its weight's channels, as the operation has it.
WeightKey = tuple[str, int | None]


@dataclass(frozen=True, eq=False)
class Codes:
    """A weight in integers: `codes · step`, with one step per index of `axis`, or one in all.

    Attributes:
        codes: int8, shaped like the weight, in ±127.
        step: float32 `(channels,)`, or 0-d.
        axis: axis of the channels; None where there is one step.
    """

    codes: NDArray[np.int8]
    step: NDArray[np.float32]
    axis: int | None

    def values(self) -> NDArray[np.float32]:
        """The real values, as DequantizeLinear computes them."""
        shape = [1] * self.codes.ndim
        if self.axis is not None:
            shape[self.axis] = -1
        return self.codes.astype(np.float32) * self.step.reshape(shape)


@dataclass(frozen=True, eq=False)
class Operands:
    """What an exported file holds for the sites that are quantized; all others are in floating point.

    Attributes:
        steps: width of a code of every quantized activation, by operand.
        codes: weights of quantized sites, batch norm folded in, by site and axis of its channels: a weight that is tied
            may be used along more than one.
    """

    steps: Mapping[TensorId, np.float32]
    codes: Mapping[WeightKey, Codes]

    @property
    def sites(self) -> frozenset[str]:
        """Names of the quantized sites."""
        activations = {tensor.site for tensor in self.steps if tensor.role not in (ROLE, PRODUCT)}
        return frozenset(activations | {site for site, _ in self.codes})


#: Nothing quantized: the file in floating point.
FLOAT = Operands({}, {})


def check_exportable(plan: Plan, sites: tuple[str, ...]) -> None:
    """Refuses plans that integer kernels do not compute.

    Raises:
        UserError: naming what the plan asks for instead, and a site.
    """
    if sentence := refusal(plan, sites):
        raise UserError(sentence)


@torch.no_grad()
def operands(
    module: nn.Module,
    folded: Folded,
    cut: Cut,
    example: Tensors,
    plan: Plan,
    ranges: RangeTable,
    residuals: Mapping[TensorId, str] | None = None,
) -> Operands:
    """Integers and steps of a model under a plan.

    Weights are quantized before folding, as the simulation does, and the step takes what folding multiplies: the codes
    keep their magnitude, and change sign where the batch norm's factor is negative.

    Args:
        module: the model as it is simulated, in evaluation mode.
        folded: its folded copy.
        cut: what of it is in the file.
        example: the file's inputs.
        plan: 8 bits, symmetric.
        ranges: of all activations; with `residuals`, of those, too.
        residuals: operands of residual additions to quantize, with the convolution that each addition is around.

    Raises:
        UserError: if the plan cannot be exported, or an activation has no range.
    """
    weights = _weights(module, cut, example)
    check_exportable(plan, tuple(weights.sites))
    unranged = set(ranges.unranged_sites())
    quantized = [site for site in weights.sites if plan.quantizes(site) and site not in unranged]
    steps = {}
    for site in quantized:
        for role in weights.sites[site]:
            steps[TensorId(site, role)] = _step(ranges, TensorId(site, role), plan.activation_spec(site))
    for tensor, around in (residuals or {}).items():
        if around in quantized and ranges.ranges.get(tensor) is not None:
            steps[tensor] = _step(ranges, tensor, plan.activation_spec(around))
    norms = {layer: module.get_submodule(norm) for layer, norm in folded.pairs}
    folded_weights = _weights(folded.model, cut, example).values
    codes = {}
    for (site, axis), weight in weights.values.items():
        if site in quantized:
            spec = plan.weight_spec(site, axis)
            assert spec is not None
            codes[site, axis] = _codes(weight, folded_weights[site, axis], spec, axis, norms.get(site))
    return Operands(steps, codes)


def _step(ranges: RangeTable, tensor: TensorId, spec: QuantizerSpec | None) -> np.float32:
    range_ = ranges.ranges.get(tensor)
    if range_ is None or spec is None:
        raise UserError(f"{tensor} was not seen during calibration; calibrate with data that reaches it")
    return np.float32(step_and_zero_point(range_, spec)[0])


def _codes(
    weight: torch.Tensor, folded: torch.Tensor, spec: QuantizerSpec, axis: int | None, norm: nn.Module | None
) -> Codes:
    """Codes of the weight before folding, with folding's factor in the steps."""
    channels = None if axis is None else axis % weight.ndim
    c = None if norm is None else factor(norm)
    if c is not None and (channels is None or len(c) != weight.shape[channels]):
        weight, c = folded, None  # a grouped transposed convolution: its factors do not lie along one axis
    params = max_weight_params(weight, spec)
    codes, step = quantize(weight, params).to(torch.int8), params.step.double().flatten()
    if c is None:
        one = spec.channel_axis is None
        return Codes(_numpy(codes), _numpy((step[0] if one else step).float()), None if one else channels)
    assert channels is not None
    shape = [1] * weight.ndim
    shape[channels] = -1
    step = step * torch.where(c == 0, 1, c.abs())
    codes = codes * c.sign().to(torch.int8).view(shape)
    return Codes(_numpy(codes), _numpy(step.float()), channels)


@dataclass
class _Weights:
    """Roles of the activations of every site, in order, and its weight, if it has one."""

    sites: dict[str, tuple[str, ...]]
    values: dict[WeightKey, torch.Tensor]


def _weights(module: nn.Module, cut: Cut, example: Tensors) -> _Weights:
    found = _Weights({}, {})

    def see(call: Call) -> torch.Tensor:
        found.sites[call.site] = tuple(role for role in call.operands if role != "weight")
        weight = call.operands.get("weight")
        if weight is not None:
            key = (call.site, call.operation.channel_axis)
            if key in found.values and not torch.equal(found.values[key], weight):
                raise UserError(
                    f"{call.site}: weights must be constant to be exported in int8, but they change between calls."
                )
            found.values[key] = weight.detach().clone()
        return call.compute()

    with SiteMode(module, see, whole=in_one_piece):
        cut.call(module, example)
    return found


def _numpy(tensor: torch.Tensor) -> NDArray[Any]:
    return tensor.detach().cpu().contiguous().numpy()
