"""Swish and GELU (Appendix D, Eq. 17 and 18): activations with a small, bounded negative part."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf, expit

Activation = Literal["GELU", "Swish"]


def gelu(x: ArrayLike) -> NDArray[np.float64]:
    """`x / 2 (1 + erf(x / sqrt 2))` (Eq. 18)."""
    values = np.asarray(x, np.float64)
    return np.asarray(values / 2 * (1 + erf(values / np.sqrt(2))), np.float64)


def swish(x: ArrayLike) -> NDArray[np.float64]:
    """`x sigmoid(x)` (Eq. 17)."""
    values = np.asarray(x, np.float64)
    return np.asarray(values * expit(values), np.float64)


ACTIVATIONS = {"GELU": gelu, "Swish": swish}
