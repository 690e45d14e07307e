"""TensorRT: NVIDIA's engine, driven through its own tool `trtexec`.

From version 11 on all precision comes from the file, so that the fp16 flavour is the one to give it. Without TensorRT
here, `command` is what to type where it is, and `profile` reads what that wrote.
"""

import json
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qanalysis.engines.protocol import Arrays, Compiled, LayerTime, Precision, Source
from qanalysis.schema.errors import UserError

_TOOL = "trtexec"
_TIMEOUT = 3600
_TYPES = {"Int8": "int8", "INT8": "int8", "Half": "fp16", "FP16": "fp16", "Float": "fp32", "FP32": "fp32"}


class TensorRt:
    """TensorRT on an NVIDIA GPU."""

    name = "tensorrt"
    purpose = "int8 and fp16 on NVIDIA GPUs"
    reads_files = True

    def available(self) -> str | None:
        """Whether `trtexec` is on the path and there is a GPU."""
        if shutil.which("nvidia-smi") is None:
            return "There is no NVIDIA GPU here (nvidia-smi is not found); use the command where there is one."
        if shutil.which(_TOOL) is None:
            return "trtexec is not on the path: install TensorRT, or add its folder bin to PATH."
        return None

    def version(self) -> str:
        """Version that `trtexec` prints; empty if it is not here."""
        if self.available() is not None:
            return ""
        printed = subprocess.run([_TOOL, "--help"], capture_output=True, text=True, check=False).stdout
        return next(
            (line.split("[TensorRT v")[1].split("]")[0] for line in printed.splitlines() if "[TensorRT v" in line), ""
        )

    def precisions(self) -> tuple[Precision, ...]:
        """What the file says."""
        return () if self.available() is not None else ("fp32", "fp16", "int8")

    def fitted(self, source: Source, folder: Path) -> Source:
        """As it is."""
        return source

    def compile(self, source: Source) -> Compiled:
        """Builds an engine file, which takes minutes for large networks."""
        return _Network(source)


def command(
    onnx: str, batch: int, shape: Sequence[int], profile: str = "profile.json", layers: str = "layers.json"
) -> str:
    """What to type on a machine with TensorRT to measure a file; its two JSON files go back into `profile`.

    Args:
        onnx: the file, best of the flavour `onnx-fp16`.
        batch: samples of one inference.
        shape: of one sample.
        profile: where the times of layers go.
        layers: where their precisions go.
    """
    sizes = "x".join(map(str, (batch, *shape)))
    parts = [
        *(_TOOL, f"--onnx={onnx}", f"--shapes=input:{sizes}", "--useCudaGraph", "--noDataTransfers"),
        *("--profilingVerbosity=detailed", "--separateProfileRun", f"--exportProfile={profile}"),
        f"--exportLayerInfo={layers}",
    ]
    return shlex.join(parts)


def profile(times: str, layers: str = "") -> tuple[LayerTime, ...]:
    """Reads what `trtexec` wrote.

    Args:
        times: content of the file of `--exportProfile`.
        layers: content of the file of `--exportLayerInfo`; without it, precisions are not known.

    Raises:
        UserError: if it is something else.
    """
    try:
        told = json.loads(times)
        if not isinstance(told, list):
            raise TypeError("it is no list")
        rows = [row for row in told if "name" in row or row["count"]]  # the first says how many runs
        rows = [row for row in rows if "name" in row]
        about = {layer["Name"]: layer for layer in (json.loads(layers)["Layers"] if layers else ()) if "Name" in layer}
        return tuple(_layer(row, about.get(row["name"], {})) for row in rows)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(
            f"This is not what trtexec writes with --exportProfile and --exportLayerInfo: {error}"
        ) from None


def _layer(row: dict[str, Any], about: dict[str, Any]) -> LayerTime:
    formats = [str(entry.get("Format/Datatype", "")) for entry in about.get("Inputs", [])]
    precision = next((short for text in formats for long, short in _TYPES.items() if long in text), "")
    # The metadata names the file's nodes: "[ONNX Layer: conv1/Conv]\x1e[ONNX Layer: relu/Relu]"
    nodes = tuple(
        part.split("[ONNX Layer: ")[1].split("]")[0]
        for part in str(about.get("Metadata", "")).split("\x1e")
        if "[ONNX Layer: " in part
    )
    ms = float(row.get("medianMs", row.get("averageMs", 0.0)))
    names = nodes or tuple(part.strip() for part in row["name"].split(" + "))
    kernel = str(about.get("TacticName", ""))
    return LayerTime(row["name"], names, str(about.get("LayerType", "")), kernel, precision, ms)


def _dimensions(result: dict[str, Any], batch: int) -> tuple[int, ...]:
    """Shape of an output: as trtexec tells it (`2x10`), else samples and everything else."""
    told = str(result.get("dimensions", ""))
    return tuple(int(side) for side in told.split("x")) if told else (batch, -1)


class _Network:
    def __init__(self, source: Source) -> None:
        self._source = source
        if len(source.inputs) > 1:
            raise UserError("TensorRT is measured with networks of one input; measure this one with trtexec.")
        self._folder = tempfile.TemporaryDirectory(prefix="qanalysis-tensorrt-")
        self._engine = Path(self._folder.name) / "engine.plan"
        self._shapes = "x".join(map(str, (source.batch, *source.shape)))
        self._call(
            f"--onnx={source.path}",
            f"--saveEngine={self._engine}",
            "--skipInference",
            "--profilingVerbosity=detailed",
            f"--exportLayerInfo={self._file('layers.json')}",
        )

    def run(self, inputs: Arrays) -> Arrays:
        (values,) = inputs.values()  # `_Network` has refused others
        given, output = self._file("input.bin"), self._file("output.json")
        count = len(values)
        padded = np.zeros((self._source.batch, *values.shape[1:]), values.dtype)
        padded[:count] = values
        padded.tofile(given)
        self._call(
            *self._load(),
            f"--loadInputs=input:{given}",
            f"--exportOutput={output}",
            "--iterations=1",
            "--warmUp=0",
            "--duration=0",
        )
        return {
            result.get("name", "output"): np.asarray(result["values"], np.float32).reshape(
                _dimensions(result, self._source.batch)
            )[:count]
            for result in json.loads(output.read_text())
        }

    def latency(self, inputs: Arrays, seconds: float) -> list[float]:
        times = self._file("times.json")
        self._call(
            *self._load(), f"--exportTimes={times}", f"--duration={seconds}", "--useCudaGraph", "--noDataTransfers"
        )
        return [float(entry["computeMs"]) for entry in json.loads(times.read_text())]

    def per_layer(self, inputs: Arrays, repeats: int) -> tuple[LayerTime, ...]:
        times = self._file("profile.json")
        self._call(*self._load(), f"--exportProfile={times}", f"--iterations={repeats}", "--separateProfileRun")
        return profile(times.read_text(), self._file("layers.json").read_text())

    def int8_layers(self) -> frozenset[str]:
        layers = json.loads(self._file("layers.json").read_text())["Layers"]
        found = [_layer({"name": layer["Name"]}, layer) for layer in layers if "Name" in layer]
        return frozenset(node for layer in found if layer.precision == "int8" for node in layer.nodes)

    def _file(self, name: str) -> Path:
        return Path(self._folder.name) / name

    def _load(self) -> tuple[str, ...]:
        return (f"--loadEngine={self._engine}", f"--shapes=input:{self._shapes}")

    def _call(self, *options: str) -> None:
        try:
            done = subprocess.run([_TOOL, *options], capture_output=True, text=True, timeout=_TIMEOUT, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UserError(f"trtexec could not be run: {error}") from None
        if done.returncode != 0:
            lines = [line for line in (done.stdout + done.stderr).splitlines() if "[E]" in line]
            raise UserError(f"trtexec failed: {lines[-1] if lines else f'exit code {done.returncode}'}")
