"""Sites: the places where a model executes a compute-intensive operation (section 4 of the paper).

`SiteMode` meets every one of them while a model runs, whatever the class of the module: convolutions, linear layers and
matrix products, called from modules or from functions. What happens at a site is a handler: observe its operands,
quantize them, replay its result. Attention that PyTorch hides in one call is expanded into its products first.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import ParametrizationList
from torch.overrides import TorchFunctionMode

from qanalysis.nn import attention

Kind = Literal["convolution", "transposed convolution", "linear", "matrix product"]
Role = Literal["input", "weight", "left", "right"]


@dataclass(frozen=True)
class Operation:
    """A compute-intensive function of PyTorch: what kind it is and where its operands are.

    Attributes:
        kind: kind of the operation.
        operands: position and keyword of the two factors.
        channel_axis: axis of the second factor that indexes output channels, when that factor is a weight; None where
            it has none.
    """

    kind: Kind
    operands: tuple[tuple[int, str], tuple[int, str]]
    channel_axis: int | None


@dataclass
class Call:
    """One execution of a site, handed to the handler.

    Attributes:
        site: name of the site, e.g. `layer1.0.conv2` or `blocks.3.attn:matmul_0`.
        operation: what is computed.
        operands: the tensors multiplied, by role. A weight is a parameter or belongs to a convolution or linear call.
    """

    site: str
    operation: Operation
    operands: dict[Role, torch.Tensor]
    _function: Callable[..., torch.Tensor]
    _args: tuple[Any, ...]
    _kwargs: dict[str, Any]
    _slots: dict[Role, int | str] = field(default_factory=dict)

    def compute(self, **replaced: torch.Tensor) -> torch.Tensor:
        """Executes the operation, with the operands of the named roles replaced."""
        if not replaced:
            return self._function(*self._args, **self._kwargs)
        args, kwargs = list(self._args), dict(self._kwargs)
        for role, tensor in replaced.items():
            slot = self._slots[role]  # type: ignore[index]
            if isinstance(slot, int):
                args[slot] = tensor
            else:
                kwargs[slot] = tensor
        return self._function(*args, **kwargs)

    @property
    def channel_axis(self) -> int | None:
        """Axis of the weight with one index per output channel; None where the site has no weight."""
        return self.operation.channel_axis if "weight" in self.operands else None

    def multiply_accumulates(self, output: torch.Tensor) -> int:
        """Multiply-accumulate operations of this call."""
        first, second = list(self.operands.values())
        if self.operation.kind == "convolution":
            return output.numel() * second[0].numel()
        if self.operation.kind == "transposed convolution":
            return first.numel() * second[0].numel()
        if self._function is torch.einsum:
            return _einsum_size(self._args[0], first, second)
        return output.numel() * first.shape[-1]


Handler = Callable[[Call], torch.Tensor]
#: Told of compute-intensive work that is not a site: (module path, function name, reason).
Uncovered = Callable[[str, str, str], None]


def _operations() -> dict[Callable[..., Any], Operation]:
    convolution = Operation("convolution", ((0, "input"), (1, "weight")), 0)
    transposed = Operation("transposed convolution", ((0, "input"), (1, "weight")), 1)
    linear = Operation("linear", ((0, "input"), (1, "weight")), 0)
    product = Operation("matrix product", ((0, "input"), (1, "other")), -1)
    product2 = replace(product, operands=((0, "input"), (1, "mat2")))
    added = replace(product, operands=((1, "mat1"), (2, "mat2")))
    batch_added = replace(product, operands=((1, "batch1"), (2, "batch2")))
    einsum = replace(product, operands=((1, ""), (2, "")))
    tensor = torch.Tensor
    functions: dict[Operation, tuple[Any, ...]] = {
        convolution: (torch.conv1d, torch.conv2d, torch.conv3d, F.conv1d, F.conv2d, F.conv3d),
        transposed: (
            *(torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d),
            *(F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d),
        ),
        linear: (F.linear,),
        product: (torch.matmul, torch.linalg.matmul, tensor.matmul, tensor.__matmul__),
        product2: (torch.bmm, tensor.bmm, torch.mm, tensor.mm),
        added: (torch.addmm, tensor.addmm, tensor.addmm_),
        batch_added: (torch.baddbmm, tensor.baddbmm, tensor.baddbmm_),
        einsum: (torch.einsum,),
    }
    return {function: operation for operation, group in functions.items() for function in group}


OPERATIONS = _operations()
_RECURRENT: tuple[Callable[..., Any], ...] = (
    *(torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu),
    *(torch.lstm_cell, torch.gru_cell, torch.rnn_tanh_cell, torch.rnn_relu_cell),
)
_RARE: tuple[Callable[..., Any], ...] = (
    *(torch.bilinear, torch.tensordot, torch.inner, torch.Tensor.inner, torch.addbmm, torch.Tensor.addbmm),
    *(torch.chain_matmul, torch.linalg.multi_dot, torch.convolution, torch.conv_tbc),
)
#: Compute-intensive functions that are not sites, and why.
UNCOVERED: dict[Callable[..., Any], str] = dict.fromkeys(
    _RECURRENT, "recurrent layers are not covered yet: their matrix products stay in floating point"
) | dict.fromkeys(_RARE, "this function is not covered; conv1d to conv3d, linear, matmul, addmm and einsum are")
_SHORT = {"convolution": "conv", "transposed convolution": "conv_transpose", "linear": "linear"}


@dataclass
class _Frame:
    """A module that is executing: its path, the module, and how many unnamed operations it has called."""

    path: str
    module: nn.Module | None
    calls: Counter[str] = field(default_factory=Counter)


class SiteMode(TorchFunctionMode):
    """While active, sends every site that `model` executes to `handler` and uses what that returns as its output.

    Use as a context manager around the model's forward; hooks that name the sites are removed on exit, also after an
    error. A module that is executed several times in one forward (a shared head) is one site.
    """

    def __init__(self, model: nn.Module, handler: Handler, uncovered: Uncovered | None = None) -> None:
        super().__init__()
        self._handler = handler
        self._uncovered = uncovered
        self._model = model
        self._stack: list[_Frame] = []
        self._hooks: list[Any] = []
        #: id of a parameter → path of each module that holds it → its name there
        self._owners: dict[int, dict[str, str]] = {}
        for path, module in model.named_modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    self._owners.setdefault(id(parameter), {})[path] = name

    def __enter__(self) -> "SiteMode":
        if not self._hooks:
            self.reset()
            for path, module in self._model.named_modules():
                self._hooks.append(module.register_forward_pre_hook(self._enter_module(path), prepend=True))
                self._hooks.append(module.register_forward_hook(self._leave_module, always_call=True))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)  # type: ignore[no-untyped-call]
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def reset(self) -> None:
        """Forgets the modules that were executing, before the next forward under the same mode."""
        self._stack = [_Frame("", None)]

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        expansion = attention.EXPANSIONS.get(func)
        if expansion is not None:
            with self._expanding():
                return expansion(*args, **kwargs)
        operation = OPERATIONS.get(func)
        if operation is None:
            if func in UNCOVERED and self._uncovered is not None:
                self._uncovered(self._stack[-1].path, getattr(func, "__name__", str(func)), UNCOVERED[func])
            return func(*args, **kwargs)
        call = self._call(operation, func, args, kwargs)
        return func(*args, **kwargs) if call is None else self._handler(call)

    @contextmanager
    def _expanding(self) -> Iterator[None]:
        """Turns the mode on again inside its own handler, so that the parts of an expansion become sites."""
        super().__enter__()  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            super().__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def _call(
        self, operation: Operation, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Call | None:
        if func is torch.einsum:
            if len(args) == 2 and isinstance(args[1], list | tuple):
                args = (args[0], *args[1])
            if len(args) != 3:
                if len(args) > 3 and self._uncovered is not None:  # with one tensor it multiplies nothing
                    reason = "only einsum of two tensors is covered: split it into pairs"
                    self._uncovered(self._stack[-1].path, "einsum", reason)
                return None
        slots: list[int | str] = []
        tensors: list[torch.Tensor] = []
        for position, keyword in operation.operands:
            slots.append(position if position < len(args) else keyword)
            tensors.append(args[position] if position < len(args) else kwargs[keyword])
        if not all(isinstance(tensor, torch.Tensor) and tensor.is_floating_point() for tensor in tensors):
            return None
        if any(isinstance(frame.module, ParametrizationList) for frame in self._stack):
            return None  # a weight is being derived: what uses it is the site
        roles: tuple[Role, Role] = ("left", "right")
        if operation.kind != "matrix product" or id(tensors[1]) in self._owners:
            roles = ("input", "weight")
        if operation.kind == "matrix product":
            operation = replace(operation, channel_axis=_product_channel_axis(func, args, tensors[1]))
        call_operands = dict(zip(roles, tensors, strict=True))
        name = self._name(operation, call_operands)
        return Call(name, operation, call_operands, func, args, kwargs, dict(zip(roles, slots, strict=True)))

    def _name(self, operation: Operation, operands: dict[Role, torch.Tensor]) -> str:
        frame = self._stack[-1]
        weight = operands.get("weight")
        owner = self._owners.get(id(weight), {})
        if owner:
            path = frame.path if frame.path in owner else next(iter(owner))
            suffix = owner[path].removesuffix("weight").rstrip("_")
            return f"{path or 'model'}:{suffix}" if suffix else path or "model"
        kind = _SHORT.get(operation.kind, "matmul")
        index = frame.calls[kind]
        frame.calls[kind] += 1
        if kind != "matmul" and index == 0 and weight is not None and _only_computes(frame.module):
            return frame.path or "model"
        return f"{frame.path or 'model'}:{kind}_{index}"

    def _enter_module(self, path: str) -> Callable[[nn.Module, Any], None]:
        def enter(module: nn.Module, args: Any) -> None:
            self._stack.append(_Frame(path, module))

        return enter

    def _leave_module(self, module: nn.Module, args: Any, output: Any) -> None:
        while len(self._stack) > 1 and self._stack.pop().module is not module:
            pass


def _only_computes(module: nn.Module | None) -> bool:
    """Whether a module is one operation on a weight that it derives (standardized, parametrized, cast)."""
    return module is not None and isinstance(getattr(module, "weight", None), torch.Tensor)


def _product_channel_axis(func: Callable[..., Any], args: tuple[Any, ...], right: torch.Tensor) -> int | None:
    """The last axis of the right operand that the product keeps; None for a vector or where all are summed over."""
    if func is not torch.einsum:
        return -1 if right.ndim > 1 else None
    inputs, arrow, output = args[0].replace(" ", "").partition("->")
    labels = inputs.partition(",")[2].replace("...", "." * (right.ndim - len(inputs.partition(",")[2]) + 3))
    kept = [label != "." and (label in output if arrow else inputs.count(label) == 1) for label in labels]
    return max((axis for axis, stays in enumerate(kept) if stays), default=None)


def _einsum_size(equation: str, left: torch.Tensor, right: torch.Tensor) -> int:
    """Product of the sizes of all indices of a two-operand einsum; ellipses count with the larger operand."""
    first, _, second = equation.replace(" ", "").split("->")[0].partition(",")
    sizes: dict[str, int] = {}
    extra = 1
    for subscript, tensor in ((first, left), (second, right)):
        head, dots, tail = subscript.partition("...")
        shape = list(tensor.shape)
        sizes |= dict(zip(head, shape, strict=False))
        if tail:
            sizes |= dict(zip(tail, shape[-len(tail) :], strict=True))
        if dots:
            middle = shape[len(head) : len(shape) - len(tail)]
            extra = max(extra, int(torch.Size(middle).numel()))
    total = extra
    for size in sizes.values():
        total *= size
    return total
