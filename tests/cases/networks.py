"""Networks of people: what they are made of, what they take and what they return."""

import warnings
from collections.abc import Callable

import torch
import torchvision
from torch import nn

from tests.cases.case import Case, Run, cli

FEW = ("--calibration-samples", "8", "--evaluation-samples", "16", "--batch-size", "8")


class Samples(torch.utils.data.Dataset):
    """Random samples of one shape with labels in turn."""

    def __init__(self, shape: tuple[int, ...], kind: str, classes: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randn((32, *shape), generator=generator)
        if kind == "ids":
            self.inputs = torch.randint(0, 20, (32, *shape), generator=generator)
        self.targets = [number % classes for number in range(32)]

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.inputs[index], self.targets[index]


def data(shape: str = "12", kind: str = "float", classes: str = "4") -> tuple[Samples, Samples, Samples]:
    """The data of a case, for `python:`."""
    sizes = tuple(int(size) for size in shape.split(","))
    return tuple(Samples(sizes, kind, int(classes)) for _ in range(3))  # type: ignore[return-value]


class Mlp(nn.Module):
    """Two layers and what a case makes of their answer."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.first, self.second, self.third = nn.Linear(12, 16), nn.Linear(16, 4), nn.Linear(16, 7)

    def forward(self, x: torch.Tensor) -> object:
        hidden = self.first(x).relu()
        scores = self.second(hidden)
        match self.kind:
            case "dictionary":
                return {"logits": scores, "hidden": hidden}
            case "features first":
                return hidden, scores
            case "two heads":
                return scores, self.third(hidden)
            case "heads alike":
                return scores, 2 * scores
            case "regression":
                return scores[:, :1]
            case "one number":
                return scores[:, 0]
            case "a map of one pixel":
                return scores[:, :, None, None]
            case "a map":
                return scores[:, :, None, None].expand(-1, -1, 3, 3)
            case "nothing":
                return None
            case "text":
                return "cat"
            case "NaN":
                return scores * float("nan")
            case "a failure":
                raise RuntimeError("the network is broken [here]\nand says more")
            case "an integer answer":
                return scores.argmax(1)
        return scores


def _quiet(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """PyTorch calls some of its own deprecated; people have them all the same."""

    def made() -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make()

    return made


def mlp(kind: str = "plain") -> nn.Module:
    torch.manual_seed(0)
    return Mlp(kind.replace("_", " "))


def half() -> nn.Module:
    return mlp().half()


def double() -> nn.Module:
    return mlp().double()


def mixed() -> nn.Module:
    network = mlp()
    network.second.bfloat16()
    return network


def compiled() -> nn.Module:
    return torch.compile(mlp())


def parallel() -> nn.Module:
    return nn.DataParallel(mlp())


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(4))


def meta() -> nn.Module:
    with torch.device("meta"):
        return Mlp("plain")


@_quiet
def traced() -> nn.Module:
    return torch.jit.trace(mlp().eval(), torch.randn(1, 12))


@_quiet
def scripted() -> nn.Module:
    return torch.jit.script(nn.Sequential(nn.Linear(12, 4)).eval())


def exported() -> nn.Module:
    return torch.export.export(mlp().eval(), (torch.randn(2, 12),)).module()


@_quiet
def quantized() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(mlp().eval(), {nn.Linear})


def without_layers() -> nn.Module:
    return nn.Sequential(nn.ReLU())


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(12, 4, dtype=torch.complex64), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x.to(torch.complex64)).abs())


def with_complex() -> nn.Module:
    return Complex()


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(12, 64, batch_first=True), nn.Linear(64, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0][:, -1])


def recurrent() -> nn.Module:
    return Recurrent()


class Deformed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.deformed, self.head = torchvision.ops.DeformConv2d(3, 8, 3), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.deformed(x, x.new_zeros(len(x), 18, 6, 6)).mean((2, 3)))


def deformed() -> nn.Module:
    return Deformed()


class Video(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.conv(x)).relu().mean((2, 3, 4)))


def video() -> nn.Module:
    return Video()


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.hidden, self.head = nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.hidden(self.embedding(x)).relu().mean(1))


def tokens() -> nn.Module:
    return Tokens()


class Branching(nn.Module):
    """The first sample of a batch decides which way all go."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.left, self.right = nn.Linear(12, 8), nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.first(x)
        return self.left(hidden) if x[0, 0] > 0 else self.right(hidden)


def branching() -> nn.Module:
    return Branching()


def run(analysis: str, model: str, shape: str = "12", kind: str = "float", classes: str = "4") -> Run:
    source = f"python:tests.cases.networks:data?shape={shape}&kind={kind}&classes={classes}"
    few = () if analysis == "describe" else FEW
    if analysis == "calibrate":
        few = ("--calibration-samples", "8", "--batch-size", "8")
    return cli(analysis, "--model", f"python:tests.cases.networks:{model}", "--data", source, *few)


_RETURNED = {
    "features_first": ("describe", "2 sites", 0),
    "dictionary": ("ptq", "2 of 2 sites", 0),
    "two_heads": ("ptq", "2 tensors that could be class scores", 0),
    "heads_alike": ("ptq", "2 tensors that could be class scores", 0),
    "a_map_of_one_pixel": ("ptq", "2 of 2 sites", 0),
    "regression": ("ptq", r"\(1, 1\): one number a sample", 1),
    "one_number": ("ptq", r"\(1,\): one number a sample", 1),
    "a_map": ("ptq", r"\(1, 4, 3, 3\)", 1),
    "nothing": ("describe", "NoneType", 1),
    "text": ("describe", "returned str", 1),
    "NaN": ("ptq", "finite", 1),
    "a_failure": ("describe", r"the network is broken \[here\]", 1),
    "an_integer_answer": ("describe", "logits of shape", 1),
}
_MADE = {
    "half": ("ptq", "cast from float16", 0),
    "double": ("ptq", "cast from float64", 0),
    "mixed": ("ptq", "cast from bfloat16", 0),
    "compiled": ("ptq", "2 of 2 sites", 0),
    "parallel": ("ptq", "2 of 2 sites", 0),
    "lazy": ("describe", "lazy", 1),
    "meta": ("describe", "meta device", 1),
    "traced": ("describe", "TorchScript", 1),
    "scripted": ("describe", "TorchScript", 1),
    "exported": ("describe", "exported program", 1),
    "quantized": ("describe", "quantized already", 1),
    "without_layers": ("describe", "no convolution, linear layer or matrix product", 1),
    "with_complex": ("describe", "complex numbers", 0),
}

CASES = (
    *(
        Case(f"a network that returns {kind.replace('_', ' ')}", run(analysis, f"mlp?kind={kind}"), says, code)
        for kind, (analysis, says, code) in _RETURNED.items()
    ),
    *(
        Case(f"a network that is {name}", run(analysis, name), says, code)
        for name, (analysis, says, code) in _MADE.items()
    ),
    Case("shares count an LSTM", run("ptq", "recurrent", "5,12"), r"100\.0 % of multiply-accumulates", code=0),
    Case("an LSTM's products are told of", run("describe", "recurrent", "5,12"), "lstm:weight_hh_l0", code=0),
    Case("a deformable convolution is told of", run("describe", "deformed", "3,8,8"), "deform_conv2d", code=0),
    *(Case(f"video: {a}", run(a, "video", "3,4,8,8"), code=0) for a in ("describe", "calibrate", "ptq", "sensitivity")),
    *(
        Case(f"token ids: {a}", run(a, "tokens", "6", "ids"), code=0)
        for a in ("describe", "calibrate", "ptq", "sensitivity")
    ),
    *(Case(f"two ways: {a}", run(a, "branching"), code=0) for a in ("ptq", "sensitivity", "partial")),
    Case("labels beyond the classes", run("ptq", "mlp", classes="9"), "has 9 classes, but .* has 4 classes"),
    Case("inputs of another shape", run("describe", "mlp", "13"), r"fails on inputs of shape \(1, 13\)"),
    Case("images for an MLP", run("describe", "mlp", "3,8,8"), "fails on inputs of shape"),
)
