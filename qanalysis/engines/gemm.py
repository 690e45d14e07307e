"""GEMM: how fast an engine multiplies matrices in each precision (Table 1), and how fast memory is.

The second matrix is constant, as a layer's weight is; in int8 both are quantized by QuantizeLinear, as a layer's
operands are.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from qanalysis.engines.export.trace import OPSET
from qanalysis.engines.process import EngineProcess
from qanalysis.engines.protocol import Precision, Source

INPUT, OUTPUT = "input", "product"
SIZES = (128, 256, 512, 1024, 2048)
_BANDWIDTH_BYTES = 2**28
_ROUNDS = 3


def product(size: int, int8: bool) -> onnx.ModelProto:
    """`(size, size)` inputs times a constant matrix of the same size."""
    generator = np.random.default_rng(0)
    codes = generator.integers(-127, 128, (size, size)).astype(np.int8)
    step = np.float32(0.02)
    constants = [
        numpy_helper.from_array(np.asarray(step), "step"),
        numpy_helper.from_array(np.zeros((), np.int8), "zero"),
    ]
    if int8:
        constants.append(numpy_helper.from_array(codes, "codes"))
        nodes = [
            helper.make_node("QuantizeLinear", [INPUT, "step", "zero"], ["q"], "left/QuantizeLinear"),
            helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["left"], "left/DequantizeLinear"),
            helper.make_node("DequantizeLinear", ["codes", "step", "zero"], ["right"], "right/DequantizeLinear"),
            helper.make_node("MatMul", ["left", "right"], [OUTPUT], "gemm/MatMul"),
        ]
    else:
        constants = [numpy_helper.from_array(codes.astype(np.float32) * step, "right")]
        nodes = [helper.make_node("MatMul", [INPUT, "right"], [OUTPUT], "gemm/MatMul")]
    given = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", size])
    result = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", size])
    graph = helper.make_graph(nodes, "gemm", [given], [result], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = 10
    return model


def fastest_ms(
    engine: str, precisions: Sequence[Precision], size: int, threads: int, seconds: float, folder: Path
) -> dict[Precision, float]:
    """Shortest time of a product in each precision, in ms; without the conversion of its input where the engine tells.

    The precisions take turns, so that a slow spell of the machine meets all of them alike.

    Raises:
        ValueError: if the engine cannot.
    """
    best: dict[Precision, float] = {}
    with ExitStack() as stack:
        opened = {}
        for precision in precisions:
            path = folder / f"gemm-{precision}-{size}.onnx"
            path.write_bytes(product(size, precision.startswith("int8")).SerializeToString())
            source = Source(str(path), "", precision, size, (size,), threads)
            opened[precision] = stack.enter_context(EngineProcess(engine, source))
        for _ in range(_ROUNDS):
            for precision, process in opened.items():
                whole = min(process.latency(seconds / _ROUNDS))
                repeats = max(10, round(1e3 * seconds / _ROUNDS / whole))
                steps = [step for step in process.per_layer(repeats) if step.precision and _multiplies(step.kind)]
                ms = min((step.ms for step in steps), default=whole)
                best[precision] = min(ms, best.get(precision, ms))
    return best


def _multiplies(kind: str) -> bool:
    return kind.startswith(_PRODUCTS)


_PRODUCTS = ("FullyConnected", "MatMul", "Gemm", "FusedMatMul", "MatMulInteger", "QGemm")


def bandwidth(threads: int) -> float:
    """Bytes read and written per second by an addition over arrays that no cache holds, in 10^9."""
    before = torch.get_num_threads()
    if threads:
        torch.set_num_threads(threads)
    try:
        source = torch.ones(_BANDWIDTH_BYTES // 4)
        target = torch.empty_like(source)
        times = []
        for _ in range(7):
            start = time.perf_counter()
            torch.add(source, 1, out=target)
            times.append(time.perf_counter() - start)
        return 2 * _BANDWIDTH_BYTES / min(times) / 1e9
    finally:
        torch.set_num_threads(before)
