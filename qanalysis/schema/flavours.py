"""Flavours: the forms in which a quantized network can be exported, and the engines and precisions to run it in."""

from typing import Literal

Flavour = Literal["onnx", "onnx-fp16", "onnx-fp32", "openvino", "calibration", "tensorrt-cache"]
#: Operands of residual additions in int8: none (the paper), what skipped the convolution (what TensorRT recommends), or
#: the convolution's output, too (what NNCF does for OpenVINO).
Residual = Literal["fp", "int8", "int8-both"]

#: What each flavour is for.
FLAVOURS: dict[Flavour, str] = {
    "onnx": "QDQ ONNX, the rest in fp32: OpenVINO, ONNX Runtime, TensorRT up to 10",
    "onnx-fp16": "QDQ ONNX, the rest in fp16: TensorRT",
    "onnx-fp32": "ONNX in floating point, to compare with",
    "openvino": "OpenVINO IR, .xml and .bin, with unsigned codes behind ReLU: fastest there",
    "calibration": "ranges and steps as JSON, for other tools",
    "tensorrt-cache": "calibration cache for TensorRT up to 10 (implicit quantization), and its fp32 ONNX",
}

#: Names of the engines, in the order of preference, and of precisions they may be asked for.
ENGINES = ("openvino", "onnxruntime", "torch", "torch-compiled", "tensorrt")
#: How people call the engines.
ENGINE_LABELS = {
    "openvino": "OpenVINO",
    "onnxruntime": "ONNX Runtime",
    "torch": "PyTorch",
    "torch-compiled": "PyTorch, compiled",
    "tensorrt": "TensorRT",
}
PRECISIONS = ("fp32", "bf16", "fp16", "int8", "int8+bf16")


def engine_label(name: str) -> str:
    """How people call an engine."""
    return ENGINE_LABELS.get(name, name)
