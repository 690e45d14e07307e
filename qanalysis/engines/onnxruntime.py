"""ONNX Runtime: the reference of the ONNX standard, and an fp32 baseline.

On CPUs it has integer convolutions only between two quantized tensors (outputs quantized, too), so that files with the
paper's placement mostly run in fp32 there, and slower than in fp32 for the conversions. It renames convolutions that it
fuses, so that their times cannot be told by site.
"""

import importlib.util
import json
import tempfile
from pathlib import Path
from typing import Any

from qanalysis.engines.openvino import timed
from qanalysis.engines.protocol import Arrays, Compiled, LayerTime, Precision, Source, fed, one_sentence

_INTEGER = ("QLinear", "ConvInteger", "MatMulInteger", "QGemm", "QAttention")
_PRODUCTS = ("Conv", "Gemm", "MatMul", "Attention", "Einsum")


class OnnxRuntime:
    """The CPU provider of ONNX Runtime."""

    name = "onnxruntime"
    purpose = "fp32 baseline and numerical reference on CPUs"
    reads_files = True

    def available(self) -> str | None:
        """Whether the package is installed."""
        if importlib.util.find_spec("onnxruntime") is None:
            return "The package onnxruntime is not installed: pip install 'qanalysis[engines]'."
        return None

    def version(self) -> str:
        """Version of the package."""
        if self.available() is not None:
            return ""
        import onnxruntime

        return str(onnxruntime.__version__)

    def precisions(self) -> tuple[Precision, ...]:
        """Floating point, and files with Q/DQ."""
        return () if self.available() is not None else ("fp32", "int8")

    def fitted(self, source: Source, folder: Path) -> Source:
        """As it is."""
        return source

    def compile(self, source: Source) -> Compiled:
        """Compiles with all of its optimizations."""
        return _Network(source)


class _Network:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._session = self._made()

    def _made(self, profile: str = "") -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._source.threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        if profile:
            options.enable_profiling = True
            options.profile_file_prefix = profile
        with one_sentence("ONNX Runtime", self._source):
            try:
                return onnxruntime.InferenceSession(self._source.path, options, providers=["CPUExecutionProvider"])
            except Exception as error:  # the runtime's own types are not public
                raise RuntimeError(str(error)) from error

    def run(self, inputs: Arrays) -> Arrays:
        with one_sentence("ONNX Runtime", self._source):
            names = [port.name for port in self._session.get_outputs()]
            return dict(zip(names, self._session.run(names, self._fed(inputs)), strict=True))

    def latency(self, inputs: Arrays, seconds: float) -> list[float]:
        with one_sentence("ONNX Runtime", self._source):
            given = self._fed(inputs)
            self._session.run(None, given)
            return timed(lambda: self._session.run(None, given), seconds)

    def _fed(self, inputs: Arrays) -> Arrays:
        return fed(inputs, [port.name for port in self._session.get_inputs()])

    def per_layer(self, inputs: Arrays, repeats: int) -> tuple[LayerTime, ...]:
        best: dict[str, float] = {}
        kinds: dict[str, str] = {}
        with tempfile.TemporaryDirectory() as folder:
            session = self._made(str(Path(folder) / "profile"))
            for _ in range(repeats):
                session.run(None, self._fed(inputs))
            events = json.loads(Path(session.end_profiling()).read_text())
        for event in events:
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
                name = event["name"].removesuffix("_kernel_time")
                best[name] = min(event["dur"] / 1e3, best.get(name, float("inf")))
                kinds[name] = event["args"].get("op_name", "")
        return tuple(
            LayerTime(name, (name,), kinds[name], kinds[name], _precision(kinds[name]), ms) for name, ms in best.items()
        )

    def int8_layers(self) -> frozenset[str]:
        """From a profile: only what ran is told."""
        return frozenset(layer.name for layer in self.per_layer(self._source.inputs, 1) if layer.precision == "int8")


def _precision(kind: str) -> str:
    if any(part in kind for part in _INTEGER):
        return "int8"
    return "fp32" if any(part in kind for part in _PRODUCTS) else ""
