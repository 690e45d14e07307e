"""Calibration alone, for tools that quantize for themselves: as JSON, and as the cache of older TensorRT versions."""

import struct
from typing import Any

from qanalysis.engines.export.graph import Network
from qanalysis.engines.export.operands import Operands
from qanalysis.schema.observations import RangeTable
from qanalysis.schema.site import TensorId

FORMAT = "qanalysis-calibration-1"


def as_json(network: Network, operands: Operands, ranges: RangeTable) -> dict[str, Any]:
    """Range and step of every quantized activation, with the tensor's name in the file, and steps of the weights."""
    names = {TensorId(call.site, role): name for call in network.calls for role, name in call.operands.items()}
    activations = []
    for tensor, step in operands.steps.items():
        range_ = ranges.ranges[tensor]
        assert range_ is not None  # it has a step
        entry = {"site": tensor.site, "role": tensor.role, "amax": range_.amax, "step": float(step)}
        activations.append(entry | {"tensor": names.get(tensor)})
    weights = [
        {"site": site, "axis": codes.axis, "steps": codes.step.reshape(-1).tolist()}
        for (site, _), codes in operands.codes.items()
    ]
    return {
        "format": FORMAT,
        "calibration": ranges.calibration,
        "scheme": "symmetric int8: value = step * code, code in -127..127, step = amax / 127",
        "activations": activations,
        "weights": weights,
    }


def as_tensorrt_cache(network: Network, operands: Operands) -> str:
    """The text that `IInt8Calibrator.read_calibration_cache` gives: one line a tensor of the floating-point file.

    A line is the tensor's name and its step as the hexadecimal digits of a big-endian float32. TensorRT up to 10 reads
    it for implicit quantization (deprecated since 10.1); 11 has no calibrators, and takes the file with Q/DQ.
    """
    lines = {
        name: operands.steps[TensorId(call.site, role)]
        for call in network.calls
        for role, name in call.operands.items()
        if TensorId(call.site, role) in operands.steps
    }
    body = "".join(f"{name}: {struct.pack('>f', step).hex()}\n" for name, step in lines.items())
    return f"TRT-100000-EntropyCalibration2\n{body}"
