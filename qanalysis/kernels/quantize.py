"""Quantize, dequantize and fake-quantize tensors (Eq. 1-8, 12), with the straight-through gradient (Eq. 13)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from qanalysis.kernels import compiled
from qanalysis.numerics.spec import SMALLEST_STEP, QuantizerSpec, Range, step_and_zero_point
from qanalysis.schema.errors import UserError


class NotFiniteError(UserError):
    """Something to be quantized, or an answer, is NaN or infinite."""


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

    @cached_property
    def bounds(self) -> tuple[float, float] | None:
        """Real values of the extreme codes (beta and alpha) as plain numbers; None per channel."""
        if self.step.ndim:
            return None
        step, zero_point = float(self.step), float(self.zero_point)
        return (self.code_min - zero_point) * step, (self.code_max - zero_point) * step

    @cached_property
    def numbers(self) -> tuple[float, float, float]:
        """The paper's scale, the step and the zero point as plain numbers, of a per-tensor quantizer."""
        return float(self.step.reciprocal()), float(self.step), float(self.zero_point)

    def to(self, device: torch.device, dtype: torch.dtype) -> "QParams":
        """The same parameters on another device and in another float type."""
        return QParams(self.step.to(device, dtype), self.zero_point.to(device, dtype), self.code_min, self.code_max)


def per_tensor(range_: Range, spec: QuantizerSpec) -> QParams:
    """Parameters of a per-tensor quantizer (Eq. 1, 2 and 6).

    Raises:
        UserError: if the range has no width.
    """
    step, zero_point = step_and_zero_point(range_, spec)
    return QParams(torch.tensor(step), torch.tensor(float(zero_point)), spec.code_min, spec.code_max)


def max_weight_params(weight: torch.Tensor, spec: QuantizerSpec) -> QParams:
    """Parameters of a weight from its own extremes (max calibration), per tensor or per index of `channel_axis`.

    A channel of zeros (or of denormal numbers, whose scale overflows) gets step 1: any step represents zero exactly.

    Raises:
        NotFiniteError: if the weight holds NaN or infinity.
    """
    if not torch.isfinite(weight).all():
        raise NotFiniteError(f"weights must be finite, but {int((~torch.isfinite(weight)).sum())} are NaN or infinite")
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


def fake_quantize_within(x: torch.Tensor, params: QParams) -> torch.Tensor:
    """Fake quantization of values that all lie in the range, as weights do under max calibration: the gradient is 1.

    The same as `fake_quantize` there, without the cost of finding out which values are clipped.
    """
    if torch.is_grad_enabled() and x.requires_grad:
        result: torch.Tensor = _FakeQuantizeWithin.apply(x, params)
        return result
    return _fake_quantize(x, params)


def learned_fake_quantize(x: torch.Tensor, alpha: torch.Tensor, amax: float, code_max: int) -> torch.Tensor:
    """Fake quantization with a range that is learned (PACT, Choi et al. 2018; section 5.3), on the scale scheme.

    The gradient to `x` is that of Eq. 13. The gradient to `alpha` is the sum over the clipped elements: +1 times what
    comes from above for those over alpha, -1 times for those under -alpha.

    Args:
        x: any shape.
        alpha: 0-d, the largest magnitude represented; gets the gradient.
        amax: its value as a number (reading it is slow on a GPU, so the caller reads many at once).
        code_max: largest code, e.g. 127.
    """
    result: torch.Tensor = _LearnedFakeQuantize.apply(x, alpha, amax, code_max)
    return result


def _fake_quantize(x: torch.Tensor, params: QParams) -> torch.Tensor:
    if params.step.ndim == 0 and x.device.type == "cpu":
        scale, step, zero_point = params.numbers
        done = compiled.fake_quantized(x, scale, zero_point, (params.code_min, params.code_max), step)
        if done is not None:
            return done
    codes = quantize(x, params)
    if not params.symmetric:
        codes -= params.zero_point
    return codes.mul_(params.step)


def _slack(dtype: torch.dtype) -> float:
    """Room for rounding at the ends of a range: alpha / 127 * 127 may come out as less than alpha."""
    return 1 + 4 * torch.finfo(dtype).eps


def _between(gradient: torch.Tensor, x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """The gradient where `low < x < high`, 0 elsewhere: the backward of hardtanh, one pass instead of four."""
    inside: torch.Tensor = torch.ops.aten.hardtanh_backward(gradient, x, low, high)
    return inside


class _FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, params: QParams) -> torch.Tensor:
        ctx.params = params
        ctx.save_for_backward(x)
        return _fake_quantize(x, params)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (x,) = ctx.saved_tensors
        params, slack = ctx.params, _slack(x.dtype)
        if params.bounds is not None:
            beta, alpha = params.bounds  # one of them may be 0, which is inside, too
            low, high = min(beta * slack, -SMALLEST_STEP), max(alpha * slack, SMALLEST_STEP)
            return _between(gradients[0], x, low, high), None
        betas = (params.code_min - params.zero_point) * params.step * slack
        alphas = (params.code_max - params.zero_point) * params.step * slack
        return gradients[0] * ((x >= betas) & (x <= alphas)), None


class _FakeQuantizeWithin(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, params: QParams) -> torch.Tensor:
        return _fake_quantize(x, params)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0], None


class _LearnedFakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, alpha: torch.Tensor, amax: float, code_max: int) -> torch.Tensor:
        ctx.edge = amax * _slack(x.dtype)
        ctx.save_for_backward(x, alpha)
        done = compiled.fake_quantized(x, code_max / amax, 0.0, (-code_max, code_max), amax / code_max)
        if done is not None:
            return done
        codes = torch.mul(x, code_max / amax).round_()
        return codes.clamp_(-code_max, code_max).mul_(amax / code_max)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor, None, None]:
        x, alpha = ctx.saved_tensors
        (above,), edge = gradients, ctx.edge
        done = compiled.clipped_gradient(above, x, edge)
        if done is not None:
            return done[0] if ctx.needs_input_grad[0] else None, alpha.new_tensor(done[1]), None, None
        to_x = _between(above, x, -edge, edge)
        # Most tensors are clipped at one end or at none: looking costs less on a CPU, and waiting more on a GPU.
        low, high = (-torch.inf, torch.inf) if x.is_cuda else (float(x.amin()), float(x.amax()))
        to_alpha = torch.zeros_like(alpha)
        if low < -edge or high > edge:  # what does not go on to x is what is clipped
            to_alpha = (above.sum(dtype=torch.float32) - to_x.sum(dtype=torch.float32)).to(alpha.dtype)
        if low < -edge:
            below = torch.ops.aten.threshold_backward(above, x.neg(), edge).sum(dtype=torch.float32)
            to_alpha = to_alpha - 2 * below.to(alpha.dtype)
        return to_x if ctx.needs_input_grad[0] else None, to_alpha, None, None
