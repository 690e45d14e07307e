"""Half: the file with what is not int8 in fp16, for engines that take precision from the file (TensorRT from 11 on).

Integers stay as they are; float tensors, steps and the operations between are fp16. Inputs and outputs stay float32,
with casts at both ends, so that the file is fed like the others.
"""

from functools import cache

import numpy as np
import onnx
from onnx import TensorProto, defs, helper, numpy_helper

from qanalysis.engines.export.trace import OPSET
from qanalysis.schema.errors import UserError

_LARGEST = float(np.finfo(np.float16).max)
_SMALLEST = float(np.finfo(np.float16).smallest_subnormal)


def to_half(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same network in fp16 but for its integers; `proto` is not changed.

    Raises:
        UserError: naming the tensor, if a value does not fit into fp16.
    """
    half = onnx.ModelProto()
    half.CopyFrom(proto)
    graph = half.graph
    kept = _kept_single(graph)
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in kept:
            tensor.CopyFrom(numpy_helper.from_array(_half(numpy_helper.to_array(tensor), tensor.name), tensor.name))
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == "value" and attribute.t.data_type == TensorProto.FLOAT and node.output[0] not in kept:
                attribute.t.CopyFrom(numpy_helper.from_array(_half(numpy_helper.to_array(attribute.t), node.name)))
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
    _cast_ends(graph)
    return half


def _half(values: np.ndarray, name: str) -> np.ndarray:
    largest = float(np.abs(values).max(initial=0.0))
    if largest > _LARGEST and np.isfinite(values).all():
        raise UserError(f"{name} does not fit into fp16: its largest magnitude is {largest:.3g}, that of fp16 65504.")
    small = (values != 0) & (np.abs(values) < _SMALLEST)
    return np.where(small, np.sign(values) * _SMALLEST, values).astype(np.float16)


def _kept_single(graph: onnx.GraphProto) -> frozenset[str]:
    """Constants that an operator takes in float32 only (sizes of a resize)."""
    kept = set()
    for node in graph.node:
        for position, name in enumerate(node.input):
            if name and not _takes_half(node.op_type, position):
                kept.add(name)
    return frozenset(kept)


@cache
def _takes_half(kind: str, position: int) -> bool:
    schema = defs.get_schema(kind, OPSET, "")
    formal = schema.inputs[min(position, len(schema.inputs) - 1)]
    constraint = next((c for c in schema.type_constraints if c.type_param_str == formal.type_str), None)
    allowed = [formal.type_str] if constraint is None else constraint.allowed_type_strs
    return "tensor(float16)" in allowed or "tensor(float)" not in allowed


def _cast_ends(graph: onnx.GraphProto) -> None:
    given, results = (
        [value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT]
        for values in (graph.input, graph.output)
    )
    inner = {name: f"{name}/half" for name in (*given, *results)}
    for node in graph.node:
        node.input[:] = [inner.get(name, name) for name in node.input]
        node.output[:] = [inner[name] if name in results else name for name in node.output]
    nodes = list(graph.node)
    first = [helper.make_node("Cast", [n], [inner[n]], f"{n}/Cast", to=TensorProto.FLOAT16) for n in given]
    last = [helper.make_node("Cast", [inner[n]], [n], f"{n}/Cast", to=TensorProto.FLOAT) for n in results]
    del graph.node[:]
    graph.node.extend([*first, *nodes, *last])
