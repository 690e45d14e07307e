"""Registry: the engines there are, whether or not this machine has them."""

from qanalysis.engines.onnxruntime import OnnxRuntime
from qanalysis.engines.openvino import OpenVino
from qanalysis.engines.protocol import Engine
from qanalysis.engines.pytorch import PyTorch
from qanalysis.engines.tensorrt import TensorRt
from qanalysis.schema.errors import UserError

ENGINES: dict[str, Engine] = {
    engine.name: engine for engine in (OpenVino(), OnnxRuntime(), PyTorch("eager"), PyTorch("compiled"), TensorRt())
}


def engine(name: str) -> Engine:
    """The engine of a name, if it can be used here.

    Raises:
        UserError: for an unknown name, or with the reason why it cannot be used.
    """
    if name not in ENGINES:
        raise UserError(f"Unknown engine {name!r}; choose from {', '.join(ENGINES)}.")
    reason = ENGINES[name].available()
    if reason is not None:
        raise UserError(f"Engine {name} cannot be used here: {reason}")
    return ENGINES[name]
