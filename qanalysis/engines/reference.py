"""Reference: ONNX Runtime without graph optimizations, which executes every node as the standard defines it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from qanalysis.engines.export.trace import INPUT, OUTPUT
from qanalysis.schema.errors import UserError

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

    def run(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Logits `(N, classes)` for inputs `(N, …)`."""
        logits: NDArray[np.float32] = self._session.run([OUTPUT], {INPUT: inputs})[0]
        return logits

    def tensors(self, inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The inner tensors asked for, by name."""
        return dict(zip(self._outputs, self._session.run(self._outputs, {INPUT: inputs}), strict=True))
