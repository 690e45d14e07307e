"""Quantize, dequantize and fake-quantize tensors (Eq. 1-8, 12), with the straight-through gradient (Eq. 13)."""

from dataclasses import dataclass
from typing import Any

import torch

from qanalysis.numerics.spec import SMALLEST_STEP, QuantizerSpec, Range, step_and_zero_point


@dataclass(frozen=True, eq=False)
class QParams:
    """What maps reals to codes: `code = clip(round(x / step) + zero_point)`.

    Attributes:
        step: width of a code; 0-d, or shaped to broadcast against the tensor when per-channel. The paper's scale s is
            its inverse.
        zero_point: integer code of real zero, 0-d or shaped like `step`.
        code_min: smallest code.
        code_max: largest code.
    """

    step: torch.Tensor
    zero_point: torch.Tensor
    code_min: int
    code_max: int

    @property
    def symmetric(self) -> bool:
        """Whether real zero has code zero everywhere."""
        return self.code_min == -self.code_max

    def to(self, device: torch.device, dtype: torch.dtype) -> "QParams":
        """The same parameters on another device and in another float type."""
        return QParams(self.step.to(device, dtype), self.zero_point.to(device, dtype), self.code_min, self.code_max)


def per_tensor(range_: Range, spec: QuantizerSpec) -> QParams:
    """Parameters of a per-tensor quantizer (Eq. 1, 2 and 6).

    Raises:
        ValueError: if the range has no width.
    """
    step, zero_point = step_and_zero_point(range_, spec)
    return QParams(torch.tensor(step), torch.tensor(float(zero_point)), spec.code_min, spec.code_max)


def max_weight_params(weight: torch.Tensor, spec: QuantizerSpec) -> QParams:
    """Parameters of a weight from its own extremes (max calibration), per tensor or per index of `channel_axis`.

    A channel of zeros (or of denormal numbers, whose scale overflows) gets step 1: any step represents zero exactly.

    Raises:
        ValueError: if the weight holds NaN or infinity.
    """
    if not torch.isfinite(weight).all():
        raise ValueError(f"weights must be finite, but {int((~torch.isfinite(weight)).sum())} are NaN or infinite")
    axes = list(range(weight.ndim))
    if spec.channel_axis is not None:
        axes.remove(spec.channel_axis % weight.ndim)
    # Without axes to reduce, every element is its own channel (a vector quantized per channel).
    beta = (weight.amin(axes, keepdim=True) if axes else weight).clamp(max=0)
    alpha = (weight.amax(axes, keepdim=True) if axes else weight).clamp(min=0)
    if spec.scheme == "scale":
        step = torch.maximum(-beta, alpha) / spec.code_max
        zero_point = torch.zeros_like(step)
    else:
        step = (alpha - beta) / (spec.code_max - spec.code_min)
        zero_point = (torch.round(-beta / torch.where(step > 0, step, 1)) + spec.code_min).clamp(
            spec.code_min, spec.code_max
        )
    dead = step < max(SMALLEST_STEP, 1 / torch.finfo(step.dtype).max)
    return QParams(
        torch.where(dead, 1, step).detach(), torch.where(dead, 0, zero_point).detach(), spec.code_min, spec.code_max
    )


def quantize(x: torch.Tensor, params: QParams) -> torch.Tensor:
    """Codes of `x` as floats holding integers: `clip(round(s x) + z)` (Eq. 4 and 7), rounding half to even.

    The zero point is added after rounding, as in ONNX: Eq. 4 adds it before, which differs on ties with an odd z only.
    """
    codes = torch.mul(x, params.step.reciprocal()).round_()
    if not params.symmetric:
        codes += params.zero_point
    return codes.clamp_(params.code_min, params.code_max)


def dequantize(codes: torch.Tensor, params: QParams) -> torch.Tensor:
    """Real values of codes: `(code - z) / s` (Eq. 5 and 8)."""
    return (codes if params.symmetric else codes - params.zero_point) * params.step


def fake_quantize(x: torch.Tensor, params: QParams) -> torch.Tensor:
    """Quantize and dequantize (Eq. 12); differentiable by the straight-through estimator (Eq. 13).

    The gradient is 1 where `x` lies between the real values of the extreme codes, inclusive, and 0 elsewhere.
    """
    if torch.is_grad_enabled() and x.requires_grad:
        result: torch.Tensor = _FakeQuantize.apply(x, params)
        return result
    return _fake_quantize(x, params)


def _fake_quantize(x: torch.Tensor, params: QParams) -> torch.Tensor:
    codes = quantize(x, params)
    if not params.symmetric:
        codes -= params.zero_point
    return codes.mul_(params.step)


class _FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, params: QParams) -> torch.Tensor:
        slack = 1 + 4 * torch.finfo(x.dtype).eps  # alpha / 127 * 127 may round to less than alpha
        beta = (params.code_min - params.zero_point) * params.step * slack
        alpha = (params.code_max - params.zero_point) * params.step * slack
        ctx.save_for_backward((x >= beta) & (x <= alpha))
        return _fake_quantize(x, params)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None
