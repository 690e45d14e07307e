"""Names of models and checkpoint files."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from qanalysis.models.cifar.resnet import resnet20
from tests.cases.case import SENTINEL, Case, cli

DESCRIBE = ("describe", "--data", "sample:cifar10", "--model")
STATE = resnet20().state_dict()
NET = "checkpoint:{folder}/net.pt?arch=sample:resnet20"


class Payload:
    """What runs when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.command = f"touch {folder / SENTINEL}"

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def _saved(content: Callable[[Path], Any], name: str = "net.pt") -> Callable[[Path], None]:
    return lambda folder: torch.save(content(folder), folder / name)


def _state(**changes: Any) -> dict[str, Any]:
    return {**STATE, **changes}


def _prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in STATE.items()}


_NAMES = {
    "nothing": ("", "Unknown model"),
    "spaces": ("   ", "Unknown model"),
    "no source": ("resnet20", "Unknown model 'resnet20'"),
    "an unknown source": ("hub:resnet20", "Unknown model"),
    "no name after the source": ("sample:", "Unknown model"),
    "a sample that is not there": ("sample:alexnet", "Unknown sample model"),
    "a sample's weights": ("sample:resnet20@v2", "one set of weights"),
    "a sample with options": ("sample:resnet20?classes=3", "Unknown option 'classes'"),
    "a torchvision typing error": ("torchvision:resnet5O@none", "Did you mean"),
    "torchvision weights that are not there": ("torchvision:resnet18@best", "no weights named 'best'"),
    "classes that are no number": ("torchvision:resnet18@none?classes=ten", "whole number"),
    "no classes": ("torchvision:resnet18@none?classes=0", "whole number"),
    "negative classes": ("torchvision:resnet18@none?classes=-1", "whole number"),
    "classes of a trillion": ("torchvision:resnet18@none?classes=1000000000000", "memory|too large"),
    "an unknown option": ("torchvision:resnet18@none?speed=1", "Unknown option 'speed'"),
    "a checkpoint without architecture": ("checkpoint:net.pt", "say the architecture"),
    "a checkpoint that is not there": ("checkpoint:/no/net.pt?arch=sample:resnet20", "no checkpoint"),
    "a folder as checkpoint": ("checkpoint:{folder}?arch=sample:resnet20", "a folder"),
    "a device as checkpoint": ("checkpoint:/dev/zero?arch=sample:resnet20", "a device"),
    "a checkpoint of a nobody": ("checkpoint:~nobody-here/net.pt?arch=sample:resnet20", "home folder"),
    "a checkpoint of 5,000 characters": (f"checkpoint:{'x' * 5000}?arch=sample:resnet20", "too long"),
    "a checkpoint with a NUL": ("checkpoint:a\0b?arch=sample:resnet20", "NUL"),
    "a checkpoint on an unknown architecture": ("checkpoint:{folder}/net.pt?arch=hub:x", "architecture"),
    "python without a factory": ("python:os", "python:package.module:factory"),
    "python that is not there": ("python:no.such.module:net", "cannot be imported"),
    "python that returns nothing": ("python:gc:collect", "must return an nn.Module"),
    "markup in a name": ("sample:[/red]", r"\[/red\]"),
    "a long name": ("sample:" + "x" * 3000, "Unknown sample model"),
}
_FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "an empty file": (lambda folder: (folder / "net.pt").write_bytes(b""), "corrupt"),
    "a text": (lambda folder: (folder / "net.pt").write_text("hello"), "corrupt"),
    "zeros": (lambda folder: (folder / "net.pt").write_bytes(bytes(1000)), "corrupt"),
    "a list": (_saved(lambda _: [1, 2]), "no state dict"),
    "a number": (_saved(lambda _: 3), "no state dict"),
    "an empty dictionary": (_saved(lambda _: {}), "no state dict"),
    "a payload": (_saved(Payload), "not executed"),
    "a payload beside weights": (_saved(lambda folder: {"model": STATE, "args": Payload(folder)}), "not executed"),
    "a whole module": (_saved(lambda _: resnet20()), "not executed"),
    "half of the weights": (_saved(lambda _: dict(list(STATE.items())[:20])), "missing in the file"),
    "weights of another shape": (_saved(lambda _: _state(**{"fc.weight": torch.zeros(3, 64)})), "classes="),
    "one layer too many": (_saved(lambda _: _state(**{"fc2.weight": torch.zeros(2)})), "also holds fc2.weight"),
    "two networks": (_saved(lambda _: {"student": STATE, "teacher": STATE}), ": student, teacher; choose one"),
    "two networks side by side": (
        _saved(lambda _: {**_prefixed("a."), **_prefixed("b.")}),
        ": a, b; choose one",
    ),
    "a sparse weight": (_saved(lambda _: _state(**{"fc.weight": torch.ones(10, 64).to_sparse()})), "sparse tensor"),
    "a weight without values": (
        _saved(lambda _: _state(**{"fc.weight": torch.ones(10, 64, device="meta")})),
        "no values",
    ),
    "integer weights": (_saved(lambda _: _state(**{"fc.bias": torch.zeros(10, dtype=torch.int64)})), "int64"),
    "complex weights": (_saved(lambda _: _state(**{"fc.bias": torch.zeros(10, dtype=torch.complex64)})), "complex64"),
    "boolean weights": (_saved(lambda _: _state(**{"fc.bias": torch.zeros(10, dtype=torch.bool)})), "bool"),
    "fp8 weights": (_saved(lambda _: _state(**{"fc.bias": torch.zeros(10).to(torch.float8_e4m3fn)})), "float8"),
    "NaN weights": (_saved(lambda _: _state(**{"fc.bias": torch.full((10,), float("nan"))})), "finite"),
    "infinite weights": (_saved(lambda _: _state(**{"fc.bias": torch.full((10,), float("inf"))})), "finite"),
    "the optimizer alone": (_saved(lambda _: {"optimizer": {"state": {0: {"m": torch.zeros(3)}}}}), "no state dict"),
}
_GOOD: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "plain": (_saved(lambda _: STATE), "", "22 sites"),
    "state_dict": (_saved(lambda _: {"state_dict": STATE, "epoch": 3}), "", "22 sites"),
    "Lightning": (
        _saved(lambda _: {"state_dict": _prefixed("model."), "pytorch-lightning_version": "2"}),
        "",
        "'model.'",
    ),
    "Lightning's net": (_saved(lambda _: {"state_dict": _prefixed("net.")}), "", "'net.'"),
    "Lightning with a loss": (
        _saved(lambda _: {"state_dict": {**_prefixed("net."), "loss.weight": torch.ones(10)}}),
        "",
        "one tensor beside them left",
    ),
    "DataParallel": (_saved(lambda _: _prefixed("module.")), "", "'module.'"),
    "torch.compile": (_saved(lambda _: _prefixed("_orig_mod.")), "", "'_orig_mod.'"),
    "both": (_saved(lambda _: _prefixed("module._orig_mod.")), "", "'module._orig_mod.'"),
    "AveragedModel": (_saved(lambda _: {**_prefixed("module."), "n_averaged": torch.tensor(5)}), "", "'module.'"),
    "raw and average": (_saved(lambda _: {"model": STATE, "model_ema": STATE}), "", "also model_ema"),
    "the average asked for": (_saved(lambda _: {"model": {}, "model_ema": STATE}), "&key=model_ema", "22 sites"),
    "a network asked for": (_saved(lambda _: {"student": STATE, "teacher": STATE}), "&key=teacher", "22 sites"),
    "a prefix asked for": (_saved(lambda _: {**_prefixed("a."), **_prefixed("b.")}), "&key=b", "22 sites"),
    "tensors beside": (
        _saved(lambda _: _state(loss=torch.ones(()), history=torch.ones(9))),
        "",
        "2 tensors beside them left",
    ),
    "a tensor beside the dictionary": (_saved(lambda _: {"state_dict": STATE, "mean": torch.ones(3)}), "", "22 sites"),
    "nested": (_saved(lambda _: {"a": {"b": {"state_dict": STATE}}}), "", "22 sites"),
    "under one odd key": (_saved(lambda _: {"my_weights": STATE}), "", "22 sites"),
    "counters of a profiler": (
        _saved(lambda _: _state(total_ops=torch.zeros(1), total_params=torch.zeros(1))),
        "",
        "22",
    ),
    "half precision": (
        _saved(lambda _: {k: v.half() if v.is_floating_point() else v for k, v in STATE.items()}),
        "",
        "float16",
    ),
    "double": (
        _saved(lambda _: {k: v.double() if v.is_floating_point() else v for k, v in STATE.items()}),
        "",
        "float64",
    ),
}


def _safetensors(header: bytes, length: int | None = None) -> Callable[[Path], None]:
    size = (len(header) if length is None else length).to_bytes(8, "little")
    return lambda folder: (folder / "net.safetensors").write_bytes(size + header)


_SAFETENSORS = {
    "nothing": lambda folder: (folder / "net.safetensors").write_bytes(b""),
    "a header that is no JSON": _safetensors(b"{]"),
    "a header of 2^60 bytes": _safetensors(b"{}", 2**60),
    "deep brackets": _safetensors(b"[" * 5000),
    "tensors beyond the end": _safetensors(b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'),
    "a type that is none": _safetensors(b'{"a":{"dtype":"F33","shape":[0],"data_offsets":[0,0]}}'),
}

CASES = (
    *(Case(f"a model: {name}", cli(*DESCRIBE, text), says) for name, (text, says) in _NAMES.items()),
    *(Case(f"a checkpoint: {name}", cli(*DESCRIBE, NET, make=make), says) for name, (make, says) in _FILES.items()),
    *(
        Case(f"a good checkpoint: {name}", cli(*DESCRIBE, NET + more, make=make), says, code=0)
        for name, (make, more, says) in _GOOD.items()
    ),
    *(
        Case(
            f"safetensors: {name}",
            cli(*DESCRIBE, "checkpoint:{folder}/net.safetensors?arch=sample:resnet20", make=make),
            "corrupt",
        )
        for name, make in _SAFETENSORS.items()
    ),
    Case(
        "a key that is not there",
        cli(*DESCRIBE, NET + "&key=ema", make=_saved(lambda _: {"model": STATE})),
        "no state dict under the key 'ema'; there is model",
    ),
    Case(
        "an index of shards",
        cli(
            *DESCRIBE,
            "checkpoint:{folder}/model.index.json?arch=sample:resnet20",
            make=lambda folder: (folder / "model.index.json").write_text("{}"),
        ),
        "merge its shards",
    ),
    Case(
        "a good safetensors file",
        cli(
            *DESCRIBE,
            "checkpoint:{folder}/net.safetensors?arch=sample:resnet20",
            make=lambda folder: save_file(STATE, folder / "net.safetensors"),
        ),
        "22 sites",
        code=0,
    ),
)
