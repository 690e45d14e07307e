"""Reference: ONNX Runtime without graph optimizations, which executes every node as the standard defines it."""

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
import onnxruntime
from numpy.typing import NDArray

from qanalysis.schema.errors import UserError

Feeds = Mapping[str, NDArray[Any]]

_FATAL_ONLY = 4


class Reference:
    """A file loaded into the reference runtime, on the CPU.

    Args:
        proto: the network.
        outputs: names of inner tensors to give back, too.
        threads: of the runtime; 0 lets it choose.

    Raises:
        UserError: if the file is not valid, or the runtime lacks one of its operators.
    """

    def __init__(self, proto: onnx.ModelProto, outputs: Sequence[str] = (), threads: int = 0) -> None:
        self._ends = [value.name for value in proto.graph.output]
        if outputs:
            extended = onnx.ModelProto()
            extended.CopyFrom(proto)
            extended.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in outputs)
            proto = extended
        self._outputs = list(outputs)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = _FATAL_ONLY
        try:
            self._session = onnxruntime.InferenceSession(
                proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime's own types are not public
            raise UserError(f"the file cannot be loaded: {' '.join(str(error).split())}") from None

    def run(self, inputs: Feeds) -> dict[str, NDArray[Any]]:
        """The file's outputs by name, for its inputs by name, `(N, …)` each."""
        names = self._ends
        return dict(zip(names, self._session.run(names, dict(inputs)), strict=True))

    def tensors(self, inputs: Feeds) -> dict[str, NDArray[Any]]:
        """The inner tensors asked for, by name."""
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(inputs)), strict=True))
