"""Quantizer settings and ranges (section 3.1): what a quantizer is told, and what calibration finds for it."""

from dataclasses import dataclass
from typing import Literal

Scheme = Literal["scale", "affine"]

#: Narrowest step: 2**126, its inverse, is still a float32. Tensors of denormal numbers quantize to zero.
SMALLEST_STEP = 2.0**-126


@dataclass(frozen=True)
class QuantizerSpec:
    """Settings of one quantizer; it holds no measured value.

    Attributes:
        bits: width of the integer, 2 to 8.
        scheme: `scale` is symmetric with codes ±(2^(b-1) - 1); `affine` has a zero point and uses all 2^b codes.
        channel_axis: axis of the tensor with one range per index (per-channel); None is one range (per-tensor).

    Raises:
        ValueError: if bits or scheme is out of its domain.
    """

    bits: int = 8
    scheme: Scheme = "scale"
    channel_axis: int | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8:
            raise ValueError(f"`2 <= bits <= 8` must hold, but got bits={self.bits}")
        if self.scheme not in ("scale", "affine"):
            raise ValueError(f"Unknown scheme {self.scheme!r}; choose from affine, scale.")

    @property
    def code_min(self) -> int:
        """Smallest integer code: -127 (scale) or -128 (affine) at 8 bits."""
        return -self.code_max if self.scheme == "scale" else -self.code_max - 1

    @property
    def code_max(self) -> int:
        """Largest integer code: 127 at 8 bits."""
        return int(2 ** (self.bits - 1)) - 1


@dataclass(frozen=True)
class Range:
    """Real values [beta, alpha] that a quantizer represents without clipping (section 3.1).

    Raises:
        ValueError: unless both are finite and `beta <= alpha`.
    """

    beta: float
    alpha: float

    def __post_init__(self) -> None:
        if not float("-inf") < self.beta <= self.alpha < float("inf"):
            raise ValueError(f"`-inf < beta <= alpha < inf` must hold, but got beta={self.beta}, alpha={self.alpha}")

    @property
    def amax(self) -> float:
        """Largest magnitude in the range."""
        return max(abs(self.beta), abs(self.alpha))


def step_and_zero_point(range_: Range, spec: QuantizerSpec) -> tuple[float, int]:
    """Width of one code and the code of real zero, per tensor.

    The paper's scale s multiplies (Eq. 1 and 6); `step` is its inverse. For the affine scheme the range is first
    widened to contain zero, so that zero is represented exactly (Eq. 2).

    Raises:
        ValueError: if the range has no width.
    """
    if spec.scheme == "scale":
        if range_.amax <= 0:
            raise ValueError("`amax > 0` must hold, but got amax=0: an all-zero tensor has no scale")
        return max(range_.amax / spec.code_max, SMALLEST_STEP), 0
    beta, alpha = min(range_.beta, 0.0), max(range_.alpha, 0.0)
    if alpha == beta:
        raise ValueError("`alpha > beta` must hold, but got beta=alpha=0: an all-zero tensor has no scale")
    step = max((alpha - beta) / (spec.code_max - spec.code_min), SMALLEST_STEP)
    return step, max(spec.code_min, min(spec.code_max, round(-beta / step) + spec.code_min))
