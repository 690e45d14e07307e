"""PyTorch: the model itself as a baseline, eager and compiled, in fp32, bf16 and fp16."""

import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from qanalysis.engines.openvino import timed
from qanalysis.engines.protocol import Arrays, Compiled, LayerTime, Precision, Source, one_sentence

Mode = Literal["eager", "compiled"]


class PyTorch:
    """PyTorch on a CPU or GPU; fake quantization is not a way to run int8, so there is no int8 here."""

    reads_files = False

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self.name = "torch" if mode == "eager" else "torch-compiled"
        self.purpose = f"{mode} baseline of the model itself"

    def available(self) -> str | None:
        """Eager always; compiled needs a C++ compiler on CPUs."""
        if self._mode == "compiled" and not any(shutil.which(name) for name in ("g++", "clang++", "c++", "cl")):
            return "torch.compile needs a C++ compiler, and there is none: install g++."
        return None

    def version(self) -> str:
        """Version of the package; read without importing it."""
        return version("torch")

    def precisions(self) -> tuple[Precision, ...]:
        """Floating point only."""
        return ("fp32", "bf16", "fp16")

    def fitted(self, source: Source, folder: Path) -> Source:
        """As it is: the model is loaded by its name."""
        return source

    def compile(self, source: Source) -> Compiled:
        """Loads the model by its name and casts it."""
        return _Network(source, self._mode)


class _Network:
    def __init__(self, source: Source, mode: Mode) -> None:
        import torch  # takes seconds; engines are listed without it

        from qanalysis import models
        from qanalysis.models.prepared import in_channels_last

        self._source = source
        if source.threads:
            torch.set_num_threads(source.threads)
        self._type = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[source.precision]
        self._device = torch.device(source.device)
        with one_sentence("PyTorch", source):
            module = models.load(source.model).module.eval()
            module = in_channels_last(module.to(self._device, self._type))
            run = _part(source, module)
            self._network: Callable[[Any], Any] = lambda given: run(module, given)
            if mode == "compiled":
                self._network = torch.compile(self._network)

    def run(self, inputs: Arrays) -> Arrays:
        import torch

        with one_sentence("PyTorch", self._source), torch.inference_mode():
            outputs = self._network(self._given(inputs))
            return {name: value.float().cpu().numpy() for name, value in outputs.items()}

    def latency(self, inputs: Arrays, seconds: float) -> list[float]:
        import torch

        given = self._given(inputs)

        def once() -> None:
            self._network(given)
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)

        with one_sentence("PyTorch", self._source), torch.inference_mode():
            once()
            return timed(once, seconds)

    def per_layer(self, inputs: Arrays, repeats: int) -> tuple[LayerTime, ...]:
        return ()

    def int8_layers(self) -> frozenset[str]:
        return frozenset()

    def _given(self, inputs: Arrays) -> Any:
        import torch

        from qanalysis.nn.structure import in_channels_last

        tensors = {name: torch.from_numpy(value).to(self._device) for name, value in inputs.items()}
        cast = {name: x.to(self._type) if x.is_floating_point() else x for name, x in tensors.items()}
        return in_channels_last(cast)


def _part(source: Source, module: Any) -> Callable[[Any, Any], Any]:
    """What of a model is measured: the part that a file would hold."""
    import torch

    from qanalysis import tasks
    from qanalysis.nn.structure import call_model
    from qanalysis.tasks.cut import INPUT, by_leaf

    inputs = {name: torch.from_numpy(value) for name, value in source.inputs.items()}
    positional = all(name.partition("_")[0] == INPUT for name in inputs)

    def structured(given: Any) -> Any:
        if len(given) == 1:
            return next(iter(given.values()))
        return tuple(given.values()) if positional else given

    if not source.task:
        return lambda model, given: by_leaf(call_model(model, structured(given)))
    # the cut takes the file's inputs as they are called there
    return tasks.named(source.task).cut(module, structured(inputs)).call
