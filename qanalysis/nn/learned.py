"""Learned ranges: a model under a plan whose activation ranges are parameters (PACT; section 5.3, Table 8)."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from qanalysis.kernels.quantize import learned_fake_quantize
from qanalysis.nn.quantized import QuantizedModel, QuantizedWeights, full_precision
from qanalysis.numerics.spec import SMALLEST_STEP, Range
from qanalysis.schema.errors import UserError
from qanalysis.schema.observations import RangeTable
from qanalysis.schema.plan import Plan
from qanalysis.schema.site import TensorId

#: The smallest share of its calibrated value that a range may shrink to.
_LEAST = 1 / 16
#: The largest factor by which a range changes in one step.
_STEP = 1.25


class LearnedModel(QuantizedModel):
    """As `QuantizedModel`, with one parameter alpha for each quantized activation, starting at its calibrated range.

    Alphas get gradients from clipped elements alone (PACT), so a range that clips nothing moves by weight decay only:
    give them an optimizer group of their own.

    Raises:
        UserError: if the plan quantizes activations on the affine scheme, which has two ends to learn, or none.
    """

    def __init__(
        self, model: nn.Module, plan: Plan, ranges: RangeTable, weights: QuantizedWeights | None = None
    ) -> None:
        super().__init__(model, plan, ranges, weights)
        if plan.activation_scheme != "scale":
            raise UserError("learned ranges are symmetric: they need the activation scheme 'scale', not 'affine'")
        if plan.parts == "weights":
            raise UserError("with parts='weights' there are no activation ranges to learn; choose fixed ranges")
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self._index = {
            tensor: number
            for number, tensor in enumerate(
                t for t, r in ranges.ranges.items() if r is not None and plan.quantizes(t.site)
            )
        }
        self._alphas = nn.ParameterList(
            nn.Parameter(torch.tensor(_amax(ranges.ranges, tensor), device=device)) for tensor in self._index
        )
        self._starts = self.values()
        self._values: list[float] = []

    @property
    def alphas(self) -> Iterator[nn.Parameter]:
        """The learned ranges, for the optimizer; 0-d each."""
        return iter(self._alphas)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's own forward, with its sites quantized."""
        self._values = self.values()
        return super().forward(*args, **kwargs)

    @torch.no_grad()
    def values(self) -> list[float]:
        """The alphas as numbers, read at once; in the order of `tensors`."""
        if not self._index:
            return []
        values: list[float] = torch.stack(list(self._alphas)).tolist()
        return values

    @property
    def tensors(self) -> tuple[TensorId, ...]:
        """The activations whose range is learned."""
        return tuple(self._index)

    @torch.no_grad()
    def keep_positive(self) -> None:
        """Holds alphas that a step took too far, to be called after every step of the optimizer.

        Their gradient is a sum over all that is clipped, which may be everything: where batch norm is trained,
        activations can be far from those calibrated. So an alpha changes by a quarter at the most in one step, and
        stays above a small share of its calibrated value; at zero nothing would be left to train.
        """
        for alpha, before, start in zip(self._alphas, self._values or self._starts, self._starts, strict=True):
            torch.nan_to_num_(alpha, nan=before)
            alpha.clamp_(max(before / _STEP, start * _LEAST), before * _STEP)

    def table(self, calibration: str) -> RangeTable:
        """The ranges as they are now."""
        assert self.ranges is not None
        learned = {tensor: Range(-a, a) for tensor, a in zip(self._index, self.values(), strict=True)}
        return RangeTable(calibration, {**self.ranges.ranges, **learned})

    def _activation(self, tensor_id: TensorId, x: torch.Tensor) -> torch.Tensor | None:
        spec = self.plan.activation_spec(tensor_id.site)
        number = self._index.get(tensor_id)
        if spec is None or number is None:
            return super()._activation(tensor_id, x)
        return learned_fake_quantize(full_precision(x), self._alphas[number], self._values[number], spec.code_max)


def _amax(ranges: Mapping[TensorId, Range | None], tensor: TensorId) -> float:
    range_ = ranges[tensor]
    assert range_ is not None
    return max(range_.amax, SMALLEST_STEP)
