"""The adapter to TensorRT without TensorRT: its command, the files it reads, and a stand-in for trtexec."""

import json
import shlex
import stat

import numpy as np
import pytest

from qanalysis.engines.protocol import Source
from qanalysis.engines.tensorrt import TensorRt, command, profile

TIMES = json.dumps(
    [
        {"count": 100},
        {"name": "conv1/Conv + relu/Relu", "timeMs": 10.0, "averageMs": 0.1, "medianMs": 0.09, "percentage": 60.0},
        {"name": "fc/Gemm", "timeMs": 5.0, "averageMs": 0.05, "medianMs": 0.05, "percentage": 40.0},
    ]
)
LAYERS = json.dumps(
    {
        "Layers": [
            {
                "Name": "conv1/Conv + relu/Relu",
                "LayerType": "CaskConvolution",
                "Inputs": [{"Name": "x", "Format/Datatype": "Thirty-two wide channel vectorized Int8 format"}],
                "TacticName": "sm80_xmma_fprop_implicit_gemm_interleaved_i8i8",
                "Metadata": "[ONNX Layer: conv1/Conv]\x1e[ONNX Layer: relu/Relu]",
            },
            {
                "Name": "fc/Gemm",
                "LayerType": "MatrixMultiply",
                "Inputs": [{"Name": "y", "Format/Datatype": "Row major linear FP16 format"}],
                "TacticName": "h16816gemm",
                "Metadata": "[ONNX Layer: fc/Gemm]",
            },
        ]
    }
)


def test_the_command_is_one_line_for_a_shell():
    parts = shlex.split(command("my model.onnx", 8, (3, 224, 224)))
    assert parts[:3] == ["trtexec", "--onnx=my model.onnx", "--shapes=input:8x3x224x224"]
    assert {"--exportProfile=profile.json", "--exportLayerInfo=layers.json"} <= set(parts)
    assert not any(part.startswith(("--int8", "--fp16")) for part in parts)  # gone in TensorRT 11


def test_a_profile_has_times_precisions_and_the_files_nodes():
    first, second = profile(TIMES, LAYERS)
    assert (first.nodes, first.precision, first.ms) == (("conv1/Conv", "relu/Relu"), "int8", 0.09)
    assert first.kernel == "sm80_xmma_fprop_implicit_gemm_interleaved_i8i8"
    assert (second.nodes, second.precision) == (("fc/Gemm",), "fp16")


def test_without_layers_precisions_are_not_known():
    assert [layer.precision for layer in profile(TIMES)] == ["", ""]
    assert profile(TIMES)[0].nodes == ("conv1/Conv", "relu/Relu")


@pytest.mark.parametrize("text", ["", "{", "{}", "[1]", '{"a": 1}'])
def test_something_else_is_refused(text):
    with pytest.raises(ValueError, match="not what trtexec writes"):
        profile(text)


def test_without_a_gpu_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no NVIDIA GPU" in (TensorRt().available() or "")


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """Programs that write what the real ones do."""
    tool = tmp_path / "trtexec"
    tool.write_text(
        f"""#!/usr/bin/env python3
import json, sys, pathlib
given = dict(part[2:].partition("=")[::2] for part in sys.argv[1:])
if "broken" in given.get("onnx", ""):
    print("[E] Failed to parse onnx file"); sys.exit(1)
for option, text in (("exportProfile", {TIMES!r}), ("exportLayerInfo", {LAYERS!r})):
    if option in given: pathlib.Path(given[option]).write_text(text)
if "exportTimes" in given:
    pathlib.Path(given["exportTimes"]).write_text(json.dumps([{{"computeMs": 1.5}}, {{"computeMs": 1.25}}]))
if "exportOutput" in given:
    result = [{{"name": "logits", "dimensions": "2x2", "values": [0.0, 1.0, 2.0, 3.0]}}]
    pathlib.Path(given["exportOutput"]).write_text(json.dumps(result))
"""
    )
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
    for path in (tool, tmp_path / "nvidia-smi"):
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    import os

    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def test_it_is_driven_through_its_tool(stand_in):
    assert TensorRt().available() is None
    compiled = TensorRt().compile(Source("net.onnx", "", "int8", 2, (3, 4, 4)))
    inputs = {"input": np.zeros((2, 3, 4, 4), np.float32)}
    assert compiled.latency(inputs, 0.1) == [1.5, 1.25]
    assert compiled.run(inputs)["logits"].tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert compiled.run({"input": inputs["input"][:1]})["logits"].tolist() == [[0.0, 1.0]]
    assert [layer.precision for layer in compiled.per_layer(inputs, 10)] == ["int8", "fp16"]
    assert compiled.int8_layers() == {"conv1/Conv", "relu/Relu"}


def test_its_errors_are_passed_on(stand_in):
    with pytest.raises(ValueError, match=r"trtexec failed: \[E\] Failed to parse onnx file"):
        TensorRt().compile(Source("broken.onnx", "", "int8", 2, (3, 4, 4)))
