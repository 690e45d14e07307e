"""Executable: what integer kernels compute is a product of two 8-bit factors, symmetric about zero."""

from collections.abc import Iterable

from qanalysis.schema.plan import Plan


def refusal(plan: Plan, sites: Iterable[str]) -> str:
    """Why no engine executes a plan, as a sentence that names a site; empty if one may.

    Args:
        plan: the plan.
        sites: names of all sites of its model.
    """
    if plan.parts != "both":
        return (
            f"Only plans that quantize both weights and activations can be exported, but this one quantizes "
            f"{plan.parts} only: integer kernels multiply two integers."
        )
    for site in sites:
        specs = {"activations": plan.activation_spec(site), "weights": plan.weight_spec(site, 0)}
        for part, spec in specs.items():
            if spec is not None and spec.bits != 8:
                return (
                    f"Only 8-bit plans can be exported, but {part} of site {site!r} have {spec.bits} bits: engines "
                    "have int8 kernels; skip the site, or use 8 bits there."
                )
            if spec is not None and spec.scheme != "scale":
                return (
                    f"Only symmetric plans can be exported, but {part} of site {site!r} have a zero point (scheme "
                    f"{spec.scheme}): use the scale scheme."
                )
    return ""
