"""Unsigned: the same codes as unsigned bytes where no value is negative, which is how OpenVINO multiplies on x86.

Its kernels take activations as unsigned bytes (VNNI multiplies those by signed weights) and read int8 as such with a
zero point of 128, which they subtract again wherever a border is padded. After a ReLU all codes are 0..127: as uint8
with zero point 0 they are the same numbers with nothing to subtract. What int8 clips to 127, uint8 would let reach 255:
so the ReLU becomes a Clip at the end of the range.
"""

from collections import Counter
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

_ZERO = "zero_point/unsigned"
_HIGHEST = np.float32(127)


def unsigned(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with unsigned codes behind every ReLU that nothing else reads; `proto` is not changed.

    Args:
        proto: with int8 activations, as `engines.graph` makes it; one without stays as it is.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    graph = changed.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    readers = Counter(name for node in graph.node for name in node.input)
    readers.update(value.name for value in graph.output)
    turned: set[str] = set()
    for node in graph.node:
        if node.op_type == "QuantizeLinear" and readers[node.input[0]] == 1 and _is_zero(node, constants):
            relu, step = producers.get(node.input[0]), constants.get(node.input[1])
            most = None if relu is None else _most(relu, constants)
            if relu is None or step is None or step.ndim or most is None:
                continue
            _clip(graph, relu, min(most, np.float32(_HIGHEST * step)))
            node.input[2] = _ZERO
            turned.add(node.output[0])
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in turned:
            node.input[2] = _ZERO
    if turned:
        graph.initializer.append(numpy_helper.from_array(np.asarray(0, np.uint8), _ZERO))
    return changed


def _is_zero(quantize: onnx.NodeProto, constants: dict[str, NDArray[Any]]) -> bool:
    """Whether codes are int8 with zero point 0."""
    zero = constants.get(quantize.input[2]) if len(quantize.input) > 2 else None
    return zero is not None and zero.dtype == np.int8 and not zero.any()


def _most(node: onnx.NodeProto, constants: dict[str, NDArray[Any]]) -> np.float32 | None:
    """Largest value that a ReLU of any kind gives, infinity if nothing bounds it; None if values may be negative."""
    if node.op_type == "Relu":
        return np.float32(np.inf)
    if node.op_type != "Clip":
        return None
    low, high = (constants.get(name) if name else None for name in (*node.input[1:], "", "")[:2])
    if low is None or float(low) < 0 or (high is None and len(node.input) > 2 and node.input[2]):
        return None
    return np.float32(np.inf) if high is None else np.float32(high)


def _clip(graph: onnx.GraphProto, relu: onnx.NodeProto, most: np.float32) -> None:
    """Makes a ReLU give no more than this."""
    low, high = f"{relu.name}/least", f"{relu.name}/most"
    graph.initializer.append(numpy_helper.from_array(np.asarray(0, np.float32), low))
    graph.initializer.append(numpy_helper.from_array(np.asarray(most), high))
    relu.op_type = "Clip"
    relu.input[:] = [relu.input[0], low, high]
