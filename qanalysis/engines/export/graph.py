"""Graph: a plan put into a traced model, as the ONNX file that engines take; fp32 and partial int8 are plans, too."""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from qanalysis.engines.export.operands import Codes, Operands
from qanalysis.engines.export.pools import round_before_pools
from qanalysis.engines.export.trace import DOMAIN, OPSET, Traced, attributes, is_marker
from qanalysis.schema.errors import UserError
from qanalysis.schema.site import TensorId

_ZERO = "zero_point"


@dataclass(frozen=True)
class SiteCall:
    """Where one execution of a site is in the graph.

    Attributes:
        site: its name.
        operands: names of the tensors it takes, by role, before they are quantized; weights are not among them. Those
            that a pool in `Network.pools` gives are quantized already.
        output: name of the tensor that it gives.
    """

    site: str
    operands: dict[str, str]
    output: str


@dataclass(frozen=True, eq=False)
class Network:
    """A model under a plan.

    Attributes:
        proto: ONNX with QuantizeLinear and DequantizeLinear at the operands of quantized sites.
        calls: the executions of all sites, in order.
        nodes: name of every node that computes a site → the site; and the network's output, if a site gives it.
        pools: the max pools that read rounded values, as they were when rounding came after them.
    """

    proto: onnx.ModelProto
    calls: tuple[SiteCall, ...]
    nodes: dict[str, str]
    pools: tuple[onnx.NodeProto, ...] = ()


def network(traced: Traced, operands: Operands) -> Network:
    """Puts integers and steps into a traced model.

    Args:
        traced: the model with markers.
        operands: what to quantize; sites that are not in it stay in floating point.

    Raises:
        UserError: naming the site, if a weight to quantize is computed from the network's input.
    """
    builder = _Builder(traced, operands)
    for node in traced.proto.graph.node:
        builder.add(node)
    return builder.finish()


class _Builder:
    """Copies the nodes of a traced model, with markers replaced."""

    def __init__(self, traced: Traced, operands: Operands) -> None:
        self._source = traced.proto
        self._operands = operands
        self._nodes: list[onnx.NodeProto] = []
        self._initializers = {tensor.name: tensor for tensor in traced.proto.graph.initializer}
        self._instead: dict[str, str] = {}  # output of a marker → the tensor that stands for it
        self._codes: dict[str, Codes] = {}  # output of a weight's DequantizeLinear → what it dequantizes
        self._shared: dict[tuple[str, float], str] = {}  # tensor and step → the tensor quantized so
        self._dependent = _dependent(traced.proto.graph)
        self._pending: dict[str, dict[str, str]] = {}
        self._calls: list[SiteCall] = []

    def add(self, node: onnx.NodeProto) -> None:
        """The next node, in the order of execution."""
        if is_marker(node):
            values = attributes(node)
            self._instead[node.output[0]] = self._marked(values["site"], values["role"], node)
            return
        source = self._now(node.input[0]) if node.op_type == "Transpose" else ""
        if source in self._codes or (source in self._initializers and source not in self._dependent):
            self._transpose(node, source)
            return
        if node.op_type == "BatchNormalization" and self._is_neutral(node):
            self._instead[node.output[0]] = self._now(node.input[0])
            return
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [self._now(name) for name in node.input]
        self._nodes.append(copy)

    def finish(self) -> Network:
        """The graph, without what nothing uses."""
        renamed = {self._now(value.name): value.name for value in self._source.graph.output}
        for node in self._nodes:
            node.input[:] = [renamed.get(name, name) for name in node.input]
            node.output[:] = [renamed.get(name, name) for name in node.output]
        outputs = {value.name for value in self._source.graph.output}
        nodes, pools = round_before_pools(_alive(self._nodes, outputs), frozenset(outputs))
        used = {name for node in nodes for name in node.input}
        graph = helper.make_graph(
            nodes,
            self._source.graph.name,
            list(self._source.graph.input),
            list(self._source.graph.output),
            [tensor for name, tensor in self._initializers.items() if name in used],
        )
        proto = helper.make_model(graph, producer_name=DOMAIN, opset_imports=[helper.make_opsetid("", OPSET)])
        proto.ir_version = min(self._source.ir_version, 10)
        calls = tuple(
            SiteCall(
                call.site,
                {role: renamed.get(name, name) for role, name in call.operands.items()},
                renamed.get(call.output, call.output),
            )
            for call in self._calls
        )
        return Network(proto, calls, _computing(nodes, calls, outputs), pools)

    def _now(self, name: str) -> str:
        while name in self._instead:
            name = self._instead[name]
        return name

    def _marked(self, site: str, role: str, node: onnx.NodeProto) -> str:
        source = self._now(node.input[0])
        if role == "output":
            self._calls.append(SiteCall(site, self._pending.pop(site, {}), source))
            return source
        if role == "weight":
            text = attributes(node).get("axis")
            codes = self._operands.codes.get((site, int(text) if text else None))
            return source if codes is None else self._weight(site, source, codes)
        tensor = TensorId(site, role)
        if role in ("input", "left", "right"):
            self._pending.setdefault(site, {})[role] = source
        step = self._operands.steps.get(tensor)
        return source if step is None else self._activation(tensor, source, step)

    def _activation(self, tensor: TensorId, source: str, step: np.float32) -> str:
        """QuantizeLinear and DequantizeLinear; one pair for all sites that take the same tensor with the same step."""
        known = self._shared.get((source, float(step)))
        if known is not None:
            return known
        base = f"{tensor.site}/{tensor.role}"
        scale = self._constant(f"{base}/scale", np.asarray(step, np.float32))
        zero = self._constant(_ZERO, np.asarray(0, np.int8))
        codes, real = f"{base}/codes", f"{base}/quantized"
        number = len([name for name in self._shared.values() if name.startswith(real)])
        if number:  # the same site executed once more
            codes, real, base = f"{codes}_{number}", f"{real}_{number}", f"{base}_{number}"
        self._node("QuantizeLinear", base, [source, scale, zero], codes)
        self._node("DequantizeLinear", base, [codes, scale, zero], real)
        self._shared[source, float(step)] = real
        return real

    def _weight(self, site: str, source: str, codes: Codes) -> str:
        if source in self._dependent:
            raise UserError(
                f"Site {site!r} cannot be exported in int8: its weight is computed from the network's input, and int8 "
                "weights must be constant; skip the site."
            )
        base = f"{site}/weight"
        real = f"{base}/quantized"
        if real in self._codes and self._codes[real] is not codes:  # a tied weight, used along another axis
            base, real = f"{base}/axis{codes.axis}", f"{base}/axis{codes.axis}/quantized"
        if real not in self._codes:
            self._dequantize(base, codes, real)
        return real

    def _dequantize(self, base: str, codes: Codes, output: str) -> None:
        zeros = np.zeros(codes.step.shape, np.int8)
        inputs = [
            self._constant(f"{base}/codes", codes.codes),
            self._constant(f"{base}/scale", codes.step),
            self._constant(f"{base}/zero_point", zeros),
        ]
        self._node("DequantizeLinear", base, inputs, output, codes.axis)
        self._codes[output] = codes

    def _is_neutral(self, node: onnx.NodeProto) -> bool:
        """Whether a batch norm changes nothing: what is left of one that was folded and holds an activation, too."""
        if not all(self._now(name) in self._initializers for name in node.input[1:]):
            return False
        scale, shift, mean, variance = (
            numpy_helper.to_array(self._initializers[self._now(name)]).astype(np.float64) for name in node.input[1:]
        )
        epsilon = next((entry.f for entry in node.attribute if entry.name == "epsilon"), 1e-5)
        factor = scale / np.sqrt(variance + epsilon)
        return bool(np.allclose(factor, 1, rtol=0, atol=2e-7) and not np.any(shift - mean * factor))

    def _transpose(self, node: onnx.NodeProto, source: str) -> None:
        """A transposed weight is stored transposed: engines find integer weights next to the product."""
        permutation = attributes(node).get("perm")
        target = f"{source}/transposed"
        if source in self._codes:
            codes = self._codes[source]
            permutation = permutation or list(range(codes.codes.ndim))[::-1]
            if target not in self._codes:
                axis = None if codes.axis is None else list(permutation).index(codes.axis)
                turned = Codes(np.ascontiguousarray(codes.codes.transpose(permutation)), codes.step, axis)
                self._dequantize(f"{source.removesuffix('/quantized')}/transposed", turned, target)
        elif target not in self._initializers:
            values = numpy_helper.to_array(self._initializers[source])
            self._constant(target, np.ascontiguousarray(values.transpose(permutation)))
        self._instead[node.output[0]] = target

    def _constant(self, name: str, values: NDArray[np.generic]) -> str:
        if name not in self._initializers:
            self._initializers[name] = numpy_helper.from_array(values, name)
        return name

    def _node(self, kind: str, base: str, inputs: list[str], output: str, axis: int | None = None) -> None:
        node = helper.make_node(kind, inputs, [output], f"{base}/{kind}")
        if axis is not None:
            node.attribute.append(helper.make_attribute("axis", axis))
        self._nodes.append(node)


def _dependent(graph: onnx.GraphProto) -> frozenset[str]:
    """Tensors that are computed from the network's input."""
    found = {value.name for value in graph.input}
    for node in graph.node:
        if any(name in found for name in node.input):
            found.update(node.output)
    return frozenset(found)


def _alive(nodes: list[onnx.NodeProto], needed: set[str]) -> list[onnx.NodeProto]:
    """The nodes that lead to an output, in their order."""
    wanted = set(needed)
    kept = []
    for node in reversed(nodes):
        if any(name in wanted for name in node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]


def _computing(nodes: list[onnx.NodeProto], calls: tuple[SiteCall, ...], outputs: set[str]) -> dict[str, str]:
    """Nodes between the operands and the output of each site, by name; constants and Q/DQ included."""
    producers = {output: node for node in nodes for output in node.output}
    found: dict[str, str] = {}
    for call in calls:
        if call.output in outputs:
            found[call.output] = call.site  # some engines name the last step so
        ends = set(call.operands.values())
        pending = [call.output]
        while pending:
            name = pending.pop()
            node = producers.get(name)
            if name in ends or node is None or node.name in found:
                continue
            found[node.name] = call.site
            pending.extend(node.input)
    return found
