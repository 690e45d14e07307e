"""Trace: a model as an ONNX graph in which every operand of every site is marked, the basis of all exported files.

A marker is a node of our own (`qanalysis::Operand`) that stands for "what is done to this operand here". One trace
gives every plan: `engines.graph` replaces markers by QuantizeLinear and DequantizeLinear, by int8 weights, or by
nothing.
"""

import io
import json
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import Any

import onnx
import torch
from torch import nn

from qanalysis.engines.export.whole import in_one_piece, packs
from qanalysis.nn.residual import Addition, ResidualMode
from qanalysis.nn.sites import Call
from qanalysis.schema.errors import UserError
from qanalysis.tasks.cut import Cut, Tensors

OPSET = 19
MARKER, DOMAIN = "Operand", "qanalysis"
#: Largest file that one protobuf message can be.
_LIMIT = 2**31 - 2**20


@dataclass(frozen=True, eq=False)
class Traced:
    """A model in floating point, as ONNX with markers.

    Attributes:
        proto: the graph; nodes are named by module path.
        residuals: residual additions and the convolution that each is around.
        sites: names of the sites that are in the graph.
    """

    proto: onnx.ModelProto
    residuals: dict[str, str]
    sites: tuple[str, ...] = ()


@torch.no_grad()
def trace(module: nn.Module, cut: Cut, example: Tensors, dynamic_size: bool = False) -> Traced:
    """Traces a model with a dynamic batch.

    Args:
        module: in evaluation mode, on the CPU, batch norms folded as far as they can be.
        cut: what of it goes into the file.
        example: the file's inputs, by name.
        dynamic_size: whether height and width of images stay open, too; all other sizes become fixed.

    Raises:
        UserError: naming the operator that cannot be exported and where it is.
    """
    given = {name: _two(tensor).contiguous() for name, tensor in example.items()}
    open_ = torch.export.Dim.DYNAMIC
    shapes = tuple(
        {0: open_, 2: open_, 3: open_} if dynamic_size and tensor.ndim == 4 else {0: open_} for tensor in given.values()
    )
    with _quiet():
        marked = _Marked(module, cut, tuple(given))
        outputs = marked.names(given)
        try:
            program = torch.export.export(marked, tuple(given.values()), dynamic_shapes=(shapes,), strict=False)
        except Exception as error:  # the exporter raises whatever the model's code led to
            if packs(module, cut, given):
                raise UserError(
                    "The model cannot be exported: it packs sequences, and the shapes of a file cannot depend on their "
                    "lengths; run its recurrent layers on padded sequences in evaluation mode."
                ) from error
            after = f" after site {marked.seen.last!r}" if marked.seen.last else ""
            size = " with open height and width" if dynamic_size else ""
            raise UserError(
                f"The model cannot be exported{size}: what it computes{after} cannot be traced ({_first(error)})."
            ) from error
        try:
            onnx_program = torch.onnx.export(
                program,
                tuple(given.values()),
                dynamo=True,
                opset_version=OPSET,
                verbose=False,
                input_names=list(given),
                output_names=list(outputs),
            )
        except Exception as error:
            raise UserError(f"The model cannot be exported: {_unsupported(error, program)}.") from error
    assert onnx_program is not None
    try:
        proto = onnx_program.model_proto
    except ValueError as error:  # over the limit of protobuf
        raise UserError(
            f"The model cannot be exported: it must be smaller than {_LIMIT / 1e9:.1f} GB ({error})."
        ) from None
    _clean(proto)
    sites = dict.fromkeys(attributes(node)["site"] for node in proto.graph.node if is_marker(node))
    return Traced(proto, marked.seen.residuals, tuple(site for site in sites if site not in marked.seen.residuals))


@dataclass
class _Seen:
    """What a trace came by; kept beside the module's own attributes, which the exporter restores when it has ended."""

    last: str = ""
    residuals: dict[str, str] = field(default_factory=dict)


class _Marked(nn.Module):
    """Runs a model and marks operands and output of every site, and operands of residual additions."""

    def __init__(self, model: nn.Module, cut: Cut, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.seen = _Seen()
        self._cut = cut
        self._names = names

    def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Every output of real numbers, in the order of `names`."""
        return tuple(self._run(given).values())

    def names(self, given: Tensors) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(self._run(tuple(given.values())))

    def _run(self, given: tuple[torch.Tensor, ...]) -> Tensors:
        with ResidualMode(self.model, self._site, self._add, in_one_piece):
            return self._cut.call(self.model, dict(zip(self._names, given, strict=True)))

    def _site(self, call: Call) -> torch.Tensor:
        self.seen.last = call.site
        axis = "" if call.operation.channel_axis is None else str(call.operation.channel_axis)
        marked = {
            role: _mark(tensor, call.site, role, **({"axis": axis} if role == "weight" else {}))
            for role, tensor in call.operands.items()
        }
        return _mark(call.compute(**marked), call.site, "output")

    def _add(self, addition: Addition) -> torch.Tensor:
        self.seen.residuals[addition.name] = addition.around
        marked = {role: _mark(x, addition.name, role) for role, x in addition.operands.items()}
        return addition.compute(**marked)


def _two(tensor: torch.Tensor) -> torch.Tensor:
    """At least two samples: a batch of one would be taken for a constant."""
    return tensor.expand(2, *tensor.shape[1:]) if tensor.shape[0] < 2 else tensor


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings and its listing of a graph that it cannot trace."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _mark(x: torch.Tensor, site: str, role: str, **more: str) -> torch.Tensor:
    marked: torch.Tensor = torch.onnx.ops.symbolic(
        f"{DOMAIN}::{MARKER}", (x,), attrs={"site": site, "role": role, **more}, dtype=x.dtype, shape=x.shape, version=1
    )
    return marked


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Attributes of a node by name; text as `str`."""
    values = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}


def is_marker(node: onnx.NodeProto) -> bool:
    """Whether a node is one of ours."""
    return node.domain == DOMAIN and node.op_type == MARKER


@dataclass
class _Names:
    """Gives every name once."""

    used: set[str] = field(default_factory=set)

    def free(self, name: str) -> str:
        number, candidate = 0, name
        while candidate in self.used:
            number += 1
            candidate = f"{name}_{number}"
        self.used.add(candidate)
        return candidate


def _clean(proto: onnx.ModelProto) -> None:
    """Names nodes by module path and removes what the exporter left: source lines, file paths, inferred types."""
    graph = proto.graph
    names = _Names()
    inside = _sites_of_nodes(graph)
    for node in graph.node:
        scope = {entry.key: entry.value for entry in node.metadata_props}.get("pkg.torch.onnx.name_scopes", "[]")
        if is_marker(node):
            values = attributes(node)
            node.name = names.free(f"{values['site']}/{values['role']}")
        else:
            node.name = names.free(f"{inside.get(node.output[0]) or _module_path(scope)}/{node.op_type}")
        del node.metadata_props[:]
        node.doc_string = ""
    taken = {name for node in graph.node for name in node.output} | {value.name for value in graph.input}
    renamed = {}
    for tensor in graph.initializer:
        short = tensor.name.removeprefix("model.")
        renamed[tensor.name] = tensor.name if short in taken else short
        tensor.name = renamed[tensor.name]
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    _batch_name(graph)
    for value in (*graph.input, *graph.output, *graph.initializer):
        del value.metadata_props[:]
    del graph.value_info[:], graph.metadata_props[:], proto.metadata_props[:], proto.functions[:]
    graph.name, proto.producer_name, proto.producer_version, graph.doc_string = "network", DOMAIN, "", ""


def _sites_of_nodes(graph: onnx.GraphProto) -> dict[str, str]:
    """Output of every node that computes a site, from its marked operands to its marked output → the site."""
    producers = {output: node for node in graph.node for output in node.output}
    found: dict[str, str] = {}
    for marker in graph.node:
        if not is_marker(marker) or attributes(marker)["role"] != "output":
            continue
        site, pending = attributes(marker)["site"], [marker.input[0]]
        while pending:
            name = pending.pop()
            node = producers.get(name)
            if node is not None and not is_marker(node) and name not in found:
                found[name] = site
                pending.extend(node.input)
    return found


def _module_path(scopes: str) -> str:
    """The innermost module of `['', 'model', 'model.layer1.0', 'relu']`; the last entry is the operation."""
    path = json.loads(scopes.replace("'", '"') or "[]")[:-1]
    inner = path[-1] if path and path[-1].startswith("model") else ""
    return inner.removeprefix("model").removeprefix(".") or "model"


def _batch_name(graph: onnx.GraphProto) -> None:
    """Calls the dynamic size `batch` wherever it stands."""
    for value in (*graph.input, *graph.output):
        first = value.type.tensor_type.shape.dim[0]
        if not first.HasField("dim_value"):
            first.dim_param = "batch"


def _first(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0].rstrip(".") if text else type(error).__name__


def _unsupported(error: BaseException, program: torch.export.ExportedProgram) -> str:
    """What could not be translated: the operator, its module and the site before it."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None:
        chain.append(cause)
        cause = cause.__cause__
    match = re.search(r"call_function\[target=torch\.ops\.([\w.]+)\]", " ".join(map(str, chain)))
    if match is None:
        return f"ONNX has no form of it ({_first(chain[-1])})"
    operator, where = match.group(1), ""
    site = ""
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        if "attr_strs" in node.kwargs:
            site = node.kwargs["attr_strs"][0]
        elif operator.split(".")[1] in str(node.target):
            scopes = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
            module = scopes[-1].removeprefix("model").removeprefix(".") if scopes else ""
            where = (f" in module {module!r}" if module else "") + (f" after site {site!r}" if site else "")
            break
    return f"operator {operator}{where} has no ONNX form in opset {OPSET}"
