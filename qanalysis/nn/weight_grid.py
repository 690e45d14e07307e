"""Weight grid: where the weights of a quantized network lie between the codes of their quantizers (Fig. 6)."""

import numpy as np
import torch
from numpy.typing import NDArray

from qanalysis.kernels.quantize import max_weight_params
from qanalysis.nn.quantized import QuantizedModel


@torch.no_grad()
def weight_grid(model: QuantizedModel, bins_per_code: int, codes: int) -> dict[str, tuple[NDArray[np.int64], int]]:
    """Histograms of weight / step, by site, of the weights that the model quantized in its last forward.

    Args:
        model: has executed at least once, without gradients.
        bins_per_code: bins of one code's width; one is centred on every code.
        codes: codes shown on each side of zero; weights further out are left out.

    Returns:
        `(2 codes bins_per_code + 1,)` counts and the largest code, by site.
    """
    found = {}
    half = codes * bins_per_code
    for site, spec, weight in model.quantized_weights():
        params = max_weight_params(weight, spec)
        place = torch.round(weight / params.step * bins_per_code).long().flatten() + half
        inside = place[(place >= 0) & (place <= 2 * half)]
        counts = torch.bincount(inside, minlength=2 * half + 1).cpu().numpy()
        found[site] = (np.asarray(counts, np.int64), spec.code_max)
    return found
