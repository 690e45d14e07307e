"""What an affine zero point costs in a matrix product (section 3.3, Eq. 11 with the sign of z_x z_w put right)."""

from dataclasses import dataclass

import numpy as np

from qanalysis.numerics.codes import Codes


@dataclass(frozen=True)
class Terms:
    """The three terms of Eq. 11; their difference is the product of the codes without their zero points.

    Attributes:
        dot: `(m, n)` term 1, the integer product that scale quantization needs as well.
        offline: `(n,)` term 2, known before any input is: the sum over k of `w z_x - z_x z_w`.
        online: `(m, n)` term 3: the sum over k of `x z_w`.
        offline_as_printed: `(n,)` the same as `offline` with the sign in the paper.
    """

    dot: Codes
    offline: Codes
    online: Codes
    offline_as_printed: Codes

    @property
    def total(self) -> Codes:
        """`(m, n)` the sum over k of `(x - z_x) (w - z_w)`."""
        return np.asarray(self.dot - self.offline - self.online, np.int64)

    @property
    def total_as_printed(self) -> Codes:
        """`(m, n)` what the equation gives as it is printed: wrong by `2 p z_x z_w`."""
        return np.asarray(self.dot - self.offline_as_printed - self.online, np.int64)


def terms(x: Codes, w: Codes, z_x: int, z_w: Codes | int) -> Terms:
    """The terms for inputs `(m, p)` and weights `(p, n)` in integer codes.

    Args:
        x: codes of the input.
        w: codes of the weight.
        z_x: zero point of the input.
        z_w: zero point of the weight, or `(n,)` one for each output channel.
    """
    by_channel = np.broadcast_to(np.asarray(z_w, np.int64), (w.shape[1],))
    both = len(w) * z_x * by_channel
    weights = z_x * w.sum(0)
    return Terms(x @ w, weights - both, x.sum(1)[:, None] * by_channel[None, :], weights + both)


@dataclass(frozen=True)
class Operations:
    """Operations of one product of `(m, p)` by `(p, n)`.

    Attributes:
        dot: multiply-accumulates of term 1.
        offline: additions of term 2 that are done once, before any input is known.
        bias: additions of term 2 to every output; none where the layer has a bias to fold it into.
        online: operations of term 3 at every inference: the sums of the input's rows, and one multiply-accumulate for
            each output.
    """

    dot: int
    offline: int
    bias: int
    online: int

    @property
    def overhead(self) -> float:
        """Term 3 against term 1, in %: `100 (1/n + 1/p)`, whatever m is."""
        return 100 * self.online / self.dot


def operations(m: int, p: int, n: int) -> Operations:
    """How often each term of Eq. 11 computes something, for an input `(m, p)` and a weight `(p, n)`.

    Raises:
        ValueError: unless all three are positive.
    """
    if min(m, p, n) < 1:
        raise ValueError(f"`m, p, n >= 1` must hold, but got m={m}, p={p}, n={n}")
    return Operations(dot=m * n * p, offline=n * p, bias=m * n, online=m * p + m * n)
