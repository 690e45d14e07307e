"""OpenVINO: the engine for CPUs; int8 kernels for the paper's placement (inputs and weights of each layer)."""

import importlib.util
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from qanalysis.engines.protocol import Arrays, Compiled, LayerTime, Precision, Source, fed, one_sentence, rows

_PRECISIONS = {"i8": "int8", "u8": "int8", "f32": "fp32", "bf16": "bf16", "f16": "fp16"}


class OpenVino:
    """The CPU plugin of OpenVINO."""

    name = "openvino"
    purpose = "int8, bf16 and fp32 on CPUs"
    reads_files = True

    def available(self) -> str | None:
        """Whether the package is installed."""
        if importlib.util.find_spec("openvino") is None:
            return "The package openvino is not installed: pip install 'qanalysis[engines]'."
        return None

    def version(self) -> str:
        """Version of the package."""
        if self.available() is not None:
            return ""
        import openvino

        return str(openvino.__version__).partition("-")[0]

    def precisions(self) -> tuple[Precision, ...]:
        """What the plugin says this CPU can do."""
        if self.available() is not None:
            return ()
        import openvino

        able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        found: list[Precision] = ["fp32"]
        if "BF16" in able:
            found.append("bf16")
        if "FP16" in able:
            found.append("fp16")
        if "INT8" in able:
            found.append("int8")
            if "BF16" in able:
                found.append("int8+bf16")
        return tuple(found)

    def fitted(self, source: Source, folder: Path) -> Source:
        """Unsigned codes after every ReLU (`engines.export.unsigned`)."""
        if not (source.precision.startswith("int8") and source.path.endswith(".onnx")):
            return source
        import onnx  # an optional package, as everything of this engine

        from qanalysis.engines.export.unsigned import unsigned

        try:
            proto = onnx.load(source.path)
        except Exception:  # protobuf's own types have no stubs; the engine says what is wrong with the file
            return source
        path = folder / Path(source.path).name
        path.write_bytes(unsigned(proto).SerializeToString())
        return replace(source, path=str(path))

    def compile(self, source: Source) -> Compiled:
        """Compiles for one batch size; static shapes are at least as fast as dynamic ones."""
        return _Network(source)


class _Network:
    def __init__(self, source: Source) -> None:
        import openvino

        self._source = source
        rest = source.precision.removeprefix("int8").lstrip("+") or "fp32"
        self._config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": {"fp32": "f32"}.get(rest, rest.replace("fp", "f")),
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
        }
        if source.threads:
            self._config["INFERENCE_NUM_THREADS"] = source.threads
        self._core = openvino.Core()
        with one_sentence("OpenVINO", source):
            self._model = self._core.read_model(source.path)
            self._names = [port.get_any_name() for port in self._model.inputs]
            shapes = {name: value.shape for name, value in fed(source.inputs, self._names).items()}
            self._model.reshape(shapes)
            self._compiled = self._core.compile_model(self._model, "CPU", self._config)
            self._request = self._compiled.create_infer_request()
        self._requests: dict[Any, Any] = {tuple(sorted(shapes.items())): self._request}

    def run(self, inputs: Arrays) -> Arrays:
        given = fed(inputs, self._names)
        if rows(given) < self._source.batch:
            return self._run_fewer(given)
        with one_sentence("OpenVINO", self._source):
            request = self._request_for({name: value.shape for name, value in given.items()})
            request.infer(given, share_inputs=True)
            outputs = self._compiled.outputs
            return {
                port.get_any_name(): np.array(request.get_output_tensor(number).data)
                for number, port in enumerate(outputs)
            }

    def latency(self, inputs: Arrays, seconds: float) -> list[float]:
        with one_sentence("OpenVINO", self._source):
            self._request.infer(fed(inputs, self._names))
            return timed(self._request.infer, seconds)  # inputs stay in the request

    def per_layer(self, inputs: Arrays, repeats: int) -> tuple[LayerTime, ...]:
        with one_sentence("OpenVINO", self._source):
            compiled = self._core.compile_model(self._model, "CPU", self._config | {"PERF_COUNT": True})
            request = compiled.create_infer_request()
            request.infer(fed(inputs, self._names))
            best: dict[str, float] = {}
            kinds: dict[str, tuple[str, str]] = {}
            for _ in range(repeats):
                request.infer()
                for entry in request.profiling_info:
                    if entry.status != entry.Status.EXECUTED:
                        continue
                    ms = entry.real_time.total_seconds() * 1e3
                    best[entry.node_name] = min(ms, best.get(entry.node_name, ms))
                    kinds[entry.node_name] = (entry.node_type, entry.exec_type)
        described = _described(compiled)
        layers = []
        for name, ms in best.items():
            kind, kernel = kinds[name]
            about = described.get(name, {})
            nodes = _nodes(about)
            precision = _precision(kernel, about.get("runtimePrecision", "")) if _multiplies(kind) else ""
            layers.append(LayerTime(name, nodes, kind, kernel, precision, ms))
        return tuple(layers)

    def int8_layers(self) -> frozenset[str]:
        found: set[str] = set()
        for about in _described(self._compiled).values():
            kernel, precision = about.get("primitiveType", ""), about.get("runtimePrecision", "")
            if _multiplies(about.get("layerType", "")) and _precision(kernel, precision) == "int8":
                found.update(_nodes(about))
        return frozenset(found)

    def _run_fewer(self, inputs: Arrays) -> Arrays:
        """The last batch of a data set is smaller: the last sample fills it up."""
        count = rows(inputs)
        missing = self._source.batch - count
        padded = {name: np.concatenate([value, value[-1:].repeat(missing, 0)]) for name, value in inputs.items()}
        return {name: value[:count] for name, value in self.run(padded).items()}

    def _request_for(self, shapes: dict[str, tuple[int, ...]]) -> Any:
        """A request for inputs of these shapes; for sizes other than the benchmark's the network is compiled again."""
        key = tuple(sorted(shapes.items()))
        if key not in self._requests:
            model = self._core.read_model(self._source.path)
            model.reshape(shapes)
            compiled = self._core.compile_model(model, "CPU", self._config)
            self._requests = {key: compiled.create_infer_request()}  # of the last size only
        return self._requests[key]


def timed(call: Any, seconds: float) -> list[float]:
    """Times of single calls in ms, for about so many seconds; at least one."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return times


def _described(compiled: Any) -> dict[str, dict[str, str]]:
    """What the runtime graph says of every step, by its name.

    A layer whose output is scaled (by a batch norm that was not folded) loses its node's name to a multiplication of
    OpenVINO's own. It is known by what feeds it: its weight, or the conversion of its input in the step before.
    """
    told = {
        operation.get_friendly_name(): {key: value.astype(str) for key, value in operation.get_rt_info().items()}
        for operation in compiled.get_runtime_model().get_ops()
    }
    for operation in compiled.get_runtime_model().get_ops():
        about = told[operation.get_friendly_name()]
        if _multiplies(about.get("layerType", "")) and _is_nameless(about):
            feeding = [told[port.get_node().get_friendly_name()] for port in operation.input_values()]
            found = _site_by_weight(feeding) or _site_by_input(operation, told)
            about["originalLayersNames"] = ",".join([*found, *_nodes(about)])
    return told


def _nodes(about: dict[str, str]) -> tuple[str, ...]:
    return tuple(filter(None, about.get("originalLayersNames", "").split(",")))


def _is_nameless(about: dict[str, str]) -> bool:
    """Whether a step's first node, which is what it computes, is not one of the file's."""
    nodes = _nodes(about)
    return bool(nodes) and "/" not in nodes[0] and nodes[0].startswith("Multiply_")


def _site_by_weight(feeding: list[dict[str, str]]) -> list[str]:
    """`<site>/weight`, if the codes of a weight feed the step under their own name."""
    names = [name for about in feeding for name in _nodes(about) if name.endswith("/weight/codes")]
    return [name.removesuffix("/codes") for name in names[:1]]


def _site_by_input(operation: Any, told: dict[str, dict[str, str]]) -> list[str]:
    """`<site>/input`, if the step that computes the step's input converts it for one site."""
    ports = operation.input_values()
    if not ports:
        return []
    source = ports[0].get_node()
    while told[source.get_friendly_name()].get("layerType") == "Reorder" and source.input_values():
        source = source.input_values()[0].get_node()
    names = [name for name in _nodes(told[source.get_friendly_name()]) if name.endswith("/input/QuantizeLinear")]
    return [names[-1].removesuffix("/QuantizeLinear")] if names else []


def _multiplies(kind: str) -> bool:
    """Whether a step may hold products: subgraphs do, where attention is fused."""
    return kind.startswith(("FullyConnected", "MatMul", "Subgraph", "RNN", "MHA")) or "onvolution" in kind


def _precision(kernel: str, runtime: str) -> str:
    suffix = kernel.rsplit("_", 1)[-1].lower()
    return _PRECISIONS.get(suffix) or _PRECISIONS.get(runtime, runtime)
