"""A model executed as a plan says: inputs of quantized sites are fake-quantized, outputs stay float (section 4)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from qanalysis.kernels.quantize import (
    NotFiniteError,
    QParams,
    fake_quantize,
    fake_quantize_within,
    max_weight_params,
    per_tensor,
)
from qanalysis.nn.sites import Call, SiteMode
from qanalysis.numerics.spec import QuantizerSpec
from qanalysis.schema.errors import UserError
from qanalysis.schema.observations import RangeTable
from qanalysis.schema.plan import Plan
from qanalysis.schema.site import TensorId

#: By site and settings: a weight, its version, and its quantized values.
_Known = dict[tuple[str, QuantizerSpec], tuple[torch.Tensor, int, torch.Tensor]]


@dataclass(eq=False)
class QuantizedWeights:
    """Quantized weights that models under several plans share: by site and settings, the newest value of each."""

    known: _Known = field(default_factory=dict)


class QuantizedModel(nn.Module):
    """Wraps a model and executes it by a plan; the model itself is not changed and shares its parameters.

    Weights are quantized once per parameter value; activations with the table's ranges. A site whose range is None (an
    all-zero operand), or that calibration never reached, stays in floating point. With gradients it trains: fake
    quantization is differentiable by the straight-through estimator (Eq. 13), and weights are quantized from their
    values at each step (section 5.2).

    Args:
        model: the network; in evaluation mode, unless it is fine-tuned.
        plan: which sites, and how.
        ranges: ranges of the activations; may be None if the plan quantizes weights only.
        weights: where quantized weights are kept; given to several models over the same one, each weight is quantized
            once for all of them.

    Raises:
        UserError: if activations are to be quantized and there are no ranges.
    """

    def __init__(
        self, model: nn.Module, plan: Plan, ranges: RangeTable | None = None, weights: QuantizedWeights | None = None
    ) -> None:
        super().__init__()
        if ranges is None and plan.parts != "weights":
            raise UserError("quantizing activations needs ranges: calibrate first, or use parts='weights'")
        self.model = model
        self.plan = plan
        self.ranges = ranges
        #: Sites met that calibration never reached: they have no range and stay in floating point.
        self.unreached: set[str] = set()
        self._unranged = frozenset(ranges.unranged_sites()) if ranges is not None else frozenset()
        self._activation_params: dict[TensorId, QParams] = {}
        self._weights = QuantizedWeights() if weights is None else weights
        #: Weights with gradients as the forward quantized them: a recurrent layer uses them at every time step.
        self._in_training: _Known | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's own forward, with its sites quantized."""
        self._in_training = {}
        try:
            with SiteMode(self.model, self.compute):
                return self.model(*args, **kwargs)
        finally:
            self._in_training = None

    def compute(self, call: Call) -> torch.Tensor:
        """Handler of one site: its operation with its inputs quantized as the plan says."""
        if not self.plan.quantizes(call.site) or call.site in self._unranged:
            return call.compute()
        if self.ranges is not None and self.plan.activation_spec(call.site) is not None:
            ids = [TensorId(call.site, role) for role in call.operands if role != "weight"]
            if not all(tensor_id in self.ranges.ranges for tensor_id in ids):
                self.unreached.add(call.site)
                return call.compute()
        replaced = {}
        for role, tensor in call.operands.items():
            if role == "weight":
                quantized = self._weight(call, tensor)
            else:
                quantized = self._activation(TensorId(call.site, role), tensor)
            if quantized is not None:
                replaced[role] = quantized
        return call.compute(**replaced)

    def quantized_weights(self) -> Iterator[tuple[str, QuantizerSpec, torch.Tensor]]:
        """Site, settings and values of every weight quantized so far without gradients."""
        for (site, spec), (weight, _, _) in self._weights.known.items():
            yield site, spec, weight.detach()

    def _activation(self, tensor_id: TensorId, x: torch.Tensor) -> torch.Tensor | None:
        spec = self.plan.activation_spec(tensor_id.site)
        if spec is None or self.ranges is None:
            return None
        params = self._activation_params.get(tensor_id)
        if params is None:
            range_ = self.ranges.ranges[tensor_id]
            assert range_ is not None  # sites without a range were returned in floating point above
            params = per_tensor(range_, spec).to(x.device, full_precision(x).dtype)
            self._activation_params[tensor_id] = params
        return fake_quantize(full_precision(x), params)

    def _weight(self, call: Call, weight: torch.Tensor) -> torch.Tensor | None:
        spec = self.plan.weight_spec(call.site, call.operation.channel_axis)
        if spec is None:
            return None
        trained = torch.is_grad_enabled() and weight.requires_grad
        store = self._in_training if trained else self._weights.known
        keep = store is not None and not weight.is_inference()
        version = weight._version if keep else -1
        source, at_version, known = (store or {}).get((call.site, spec), (None, -1, weight))
        alike = known.dtype == weight.dtype and known.is_inference() == torch.is_inference_mode_enabled()
        if keep and source is weight and at_version == version and alike:
            return known
        try:
            params = max_weight_params(weight.detach(), spec)
        except NotFiniteError as error:
            raise NotFiniteError(f"{call.site}: {error}") from None
        quantized = fake_quantize_within(weight, params)
        if store is not None and keep:
            store[call.site, spec] = (weight, version, quantized)
        return quantized


def full_precision(x: torch.Tensor) -> torch.Tensor:
    """The tensor in float32 under autocast, which is for the float part: codes are not to be rounded twice."""
    return x.float() if torch.is_autocast_enabled(x.device.type) else x
