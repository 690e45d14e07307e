"""Layers: an engine's own steps, gathered by the sites of the model."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from qanalysis.engines.export.graph import Network
from qanalysis.engines.protocol import LayerTime

#: What is put around a tensor's name where its memory layout changes: `…_abcd_acdb_<consumer>`.
_REORDER = re.compile(r"_[aA][a-dA-D0-9]*_[aA][a-dA-D0-9]*_(?P<consumer>.+)$")
_CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")


@dataclass
class SiteTime:
    """One site in one precision.

    Attributes:
        ms: time of the product.
        conversion_ms: time to convert and reorder its inputs.
        kernel: the engine's name of the kernel.
        ran: precision it was really executed in; empty if the engine does not tell.
        fused_with: other sites in the same step.
    """

    ms: float = 0.0
    conversion_ms: float = 0.0
    kernel: str = ""
    ran: str = ""
    fused_with: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gathered:
    """All steps of a network.

    Attributes:
        sites: by site.
        other_ms: steps that belong to no site.
        total_ms: all steps.
    """

    sites: Mapping[str, SiteTime]
    other_ms: float
    total_ms: float


def gathered(layers: tuple[LayerTime, ...], nodes: Mapping[str, str], macs: Mapping[str, int]) -> Gathered:
    """Charges every step to a site.

    A step with several sites is split by their multiply-accumulates; one that only converts or reorders is charged to
    the site that needs it; one that also does something else (an addition with the next layer's rounding) to none.

    Args:
        layers: steps as the engine tells them.
        nodes: `Network.nodes`.
        macs: multiply-accumulates of each site.
    """
    sites: dict[str, SiteTime] = {}
    other = 0.0
    for layer in layers:
        found = [site_of(name, nodes) for name in layer.nodes if not _converts(name)]
        computing = tuple(dict.fromkeys(site for site in found if site is not None))
        if computing and (layer.precision or layer.kind not in ("Reorder", "Convert", "Transpose")):
            total = sum(macs.get(site, 0) for site in computing)
            for site in computing:
                entry = sites.setdefault(site, SiteTime())
                share = macs.get(site, 0) / total if total else 1 / len(computing)
                entry.ms += layer.ms * share
                if layer.ms * share > 0.5 * entry.ms or not entry.kernel:
                    entry.kernel, entry.ran = layer.kernel, layer.precision
                entry.fused_with = tuple(dict.fromkeys((*entry.fused_with, *(s for s in computing if s != site))))
            continue
        consumer = _converts_for(layer, nodes)
        if consumer is None:
            other += layer.ms
        else:
            sites.setdefault(consumer, SiteTime()).conversion_ms += layer.ms
    return Gathered(sites, other, sum(layer.ms for layer in layers))


def int8_sites(names: frozenset[str], nodes: Mapping[str, str]) -> frozenset[str]:
    """Sites of which an engine executes a product in integers, from the nodes that it names."""
    found = {site_of(name, nodes) for name in names if not _converts(name)}
    return frozenset(site for site in found if site is not None)


def site_of(name: str, nodes: Mapping[str, str]) -> str | None:
    """The site of a node that an engine names; engines append what they made of it: `fc/Gemm/WithoutBiases`.

    An operand is of its site, too: `fc/weight`.
    """
    while name not in nodes and "/" in name:
        if name.endswith(("/weight", "/input")) and name.rpartition("/")[0] in nodes.values():
            return name.rpartition("/")[0]
        name = name.rpartition("/")[0]
    return nodes.get(name)


def upstream(network: Network) -> dict[str, dict[str, tuple[str, ...]]]:
    """Site → operand → the sites whose outputs it is computed from, with no other site between."""
    outputs = {call.output: call.site for call in network.calls}
    producers = {output: node for node in network.proto.graph.node for output in node.output}
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for call in network.calls:
        for role, tensor in call.operands.items():
            found.setdefault(call.site, {})[role] = _sources(tensor, outputs, producers)
    return found


def _sources(tensor: str, outputs: Mapping[str, str], producers: Mapping[str, onnx.NodeProto]) -> tuple[str, ...]:
    sources: dict[str, None] = {}
    seen: set[str] = set()
    pending = [tensor]
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in outputs:
            sources[outputs[name]] = None
        elif name in producers:
            pending.extend(producers[name].input)
    return tuple(sources)


def _converts(node: str) -> bool:
    return node.rpartition("/")[2].split("_")[0] in _CONVERSIONS


def _converts_for(layer: LayerTime, nodes: Mapping[str, str]) -> str | None:
    """The site that a step converts an input for, if that is all it does."""
    reorder = _REORDER.search(layer.name)
    if reorder is not None:
        return site_of(reorder["consumer"], nodes)
    named = [name for name in layer.nodes if "/" in name]
    targets = {nodes.get(name) for name in named if _converts(name)}
    if len(targets) == 1 and all(_converts(name) for name in named):
        return targets.pop()
    return None
