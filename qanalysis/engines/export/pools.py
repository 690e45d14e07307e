"""Pools: rounding moved from behind a max pool to before it, where the step that made its input can write bytes.

The largest of rounded values is the largest value, rounded: rounding to a grid, and saturating, keep the order. So
nothing changes but where it is done, and the pool itself reads a quarter of the bytes.
"""

from collections import defaultdict

import onnx


def round_before_pools(
    nodes: list[onnx.NodeProto], kept: frozenset[str]
) -> tuple[list[onnx.NodeProto], tuple[onnx.NodeProto, ...]]:
    """Moves QuantizeLinear and DequantizeLinear before every max pool whose output is needed in int8 only.

    It stays where something reads the pool's output in floating point or with another step, or reads the pool's input
    besides the pool: that would be in memory twice.

    Args:
        nodes: of a graph, in the order of execution; they are changed.
        kept: tensors that must keep their values: the outputs of the graph.

    Returns:
        the nodes in their new order, and the pools as they were, in the order of execution.
    """
    before: list[onnx.NodeProto] = []
    while (found := _movable(nodes, kept)) is not None:
        pool, quantize, dequantize = found
        was = onnx.NodeProto()
        was.CopyFrom(pool)
        before.insert(0, was)
        rounded, pooled = dequantize.output[0], pool.output[0]
        for node in nodes:
            node.input[:] = [pooled if name == rounded else name for name in node.input]
        quantize.input[0] = pool.input[0]
        pool.input[0] = rounded
        rest = [node for node in nodes if node is not quantize and node is not dequantize]
        place = next(i for i, node in enumerate(rest) if node is pool)
        nodes = [*rest[:place], quantize, dequantize, *rest[place:]]
    return nodes, tuple(before)


def _movable(
    nodes: list[onnx.NodeProto], kept: frozenset[str]
) -> tuple[onnx.NodeProto, onnx.NodeProto, onnx.NodeProto] | None:
    """The next pool with what rounds its output, if that can be moved."""
    producers = {name: node for node in nodes for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in nodes:
        for name in node.input:
            readers[name].append(node)
    for quantize in nodes:
        pool = producers.get(quantize.input[0]) if quantize.op_type == "QuantizeLinear" else None
        if pool is None or pool.op_type != "MaxPool" or len(pool.output) != 1 or pool.output[0] in kept:
            continue
        alone = len(readers[pool.output[0]]) == len(readers[pool.input[0]]) == 1
        back = readers[quantize.output[0]]
        if alone and len(back) == 1 and back[0].op_type == "DequantizeLinear" and back[0].output[0] not in kept:
            return pool, quantize, back[0]
    return None
