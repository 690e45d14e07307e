"""Predicted size of a model under a plan: its parameters in the bits they are stored with."""

from math import prod

from qanalysis.schema.plan import Plan
from qanalysis.schema.site import Coverage

#: Axis of the weight that indexes output channels, where it is not the first.
_CHANNEL_AXIS = {"transposed convolution": 1, "matrix product": -1}


def fp32_bytes(parameters: int) -> int:
    """Four bytes for each parameter."""
    return 4 * parameters


def plan_bytes(plan: Plan, coverage: Coverage, parameters: int) -> int:
    """Weights of quantized sites at their bits with a 4-byte scale per channel, everything else at four bytes.

    Args:
        plan: which sites are quantized, and with how many bits.
        coverage: the sites with the shapes of their weights.
        parameters: number of parameters of the whole model.
    """
    size = fp32_bytes(parameters)
    for site in coverage.sites:
        spec = plan.weight_spec(site.name, 0)
        if site.weight_shape is None or spec is None:
            continue
        weights = prod(site.weight_shape)
        axis = _CHANNEL_AXIS.get(site.kind, 0)
        scales = site.weight_shape[axis] if plan.weight_granularity == "per-channel" else 1
        size += -4 * weights + (weights * spec.bits + 7) // 8 + 4 * scales
    return size
