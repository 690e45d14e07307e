"""Integer codes of arrays (Eq. 1-8 and 12), in NumPy: what `quantize` does for tensors, where PyTorch is not loaded."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qanalysis.numerics.spec import SMALLEST_STEP, QuantizerSpec, Range, step_and_zero_point

Codes = NDArray[np.int64]
Reals = NDArray[np.float64]


def codes(x: ArrayLike, range_: Range, spec: QuantizerSpec) -> Codes:
    """`clip(round(s x) + z)` of every value (Eq. 4 and 7), rounding half to even.

    Raises:
        ValueError: if the range has no width.
    """
    step, zero_point = step_and_zero_point(range_, spec)
    nearest = np.rint(np.asarray(x, np.float64) / step) + zero_point
    return np.asarray(np.clip(nearest, spec.code_min, spec.code_max), np.int64)


def reals(codes: ArrayLike, range_: Range, spec: QuantizerSpec) -> Reals:
    """`(code - z) / s` of every code (Eq. 5 and 8).

    Raises:
        ValueError: if the range has no width.
    """
    step, zero_point = step_and_zero_point(range_, spec)
    return np.asarray((np.asarray(codes) - zero_point) * step, np.float64)


def rounded(x: ArrayLike, range_: Range, spec: QuantizerSpec) -> Reals:
    """Fake quantization (Eq. 12): the real values of the codes.

    Raises:
        ValueError: if the range has no width.
    """
    return reals(codes(x, range_, spec), range_, spec)


def represented(range_: Range, spec: QuantizerSpec) -> Range:
    """Real values of the smallest and the largest code: the range after the zero point was rounded (section 3.1.1).

    Raises:
        ValueError: if the range has no width.
    """
    beta, alpha = reals([spec.code_min, spec.code_max], range_, spec).tolist()
    return Range(beta, alpha)


def matrix_codes(weight: Reals, spec: QuantizerSpec) -> tuple[Codes, Reals]:
    """Codes of a weight matrix under max calibration and the scale scheme (section 3.2), and the step of each column.

    Args:
        weight: `(p, n)`, an output channel in each column, as in Y = XW.
        spec: `channel_axis` 1 gives each column a range of its own (per-channel), None one to all (per-tensor).

    Returns:
        Codes `(p, n)` and steps `(n,)`; a column of zeros has step 1, which represents zero exactly.
    """
    magnitudes = np.abs(weight)
    largest = magnitudes.max(0) if spec.channel_axis == 1 else np.full(weight.shape[1], magnitudes.max())
    steps = np.where(largest > SMALLEST_STEP, largest / spec.code_max, 1.0)
    return np.clip(np.rint(weight / steps), spec.code_min, spec.code_max).astype(np.int64), steps
