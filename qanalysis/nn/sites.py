"""Sites: the places where a model executes a compute-intensive operation (section 4 of the paper).

`SiteMode` meets every one of them while a model runs, whatever the class of the module: convolutions, linear layers and
matrix products, called from modules or from functions. What happens at a site is a handler: observe its operands,
quantize them, replay its result. Attention and recurrent layers, which PyTorch hides in one call, are expanded into
their products first.
"""

import sys
from collections import Counter
from collections.abc import Callable, Container, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.utils.parametrize import ParametrizationList
from torch.overrides import TorchFunctionMode

from qanalysis.nn.expansions import EXPANSIONS
from qanalysis.nn.operations import OPERATIONS, UNCOVERED, Operation, einsum_size, product_channel_axis

Role = Literal["input", "weight", "left", "right"]


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
            return einsum_size(self._args[0], first, second)
        return output.numel() * first.shape[-1]


Handler = Callable[[Call], torch.Tensor]
#: Told of compute-intensive work that is not a site: (module path, function name, reason).
Uncovered = Callable[[str, str, str], None]
#: Whether a call is left as it is: the function, its arguments, and those by keyword.
Whole = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], bool]


#: Modules of PyTorch whose own forward reaches no site, unless they have children: they need no hooks.
_QUIET = (
    *("activation", "batchnorm", "channelshuffle", "container", "dropout", "flatten", "fold", "instancenorm"),
    *("normalization", "padding", "pixelshuffle", "pooling", "upsampling"),
)
#: Modules of PyTorch whose only site is named after their weight.
_NAMED_BY_WEIGHT = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear),
)
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

    Args:
        model: the network.
        handler: what is done at a site.
        uncovered: told of compute-intensive work that is not a site.
        whole: which calls that would be expanded are left as they are: their products are no sites then.
    """

    def __init__(
        self,
        model: nn.Module,
        handler: Handler,
        uncovered: Uncovered | None = None,
        whole: Whole | None = None,
    ) -> None:
        super().__init__()
        self.handler = handler
        #: Paths of modules that the next forward does not enter: they get no hooks.
        self.unreached: Container[str | None] = ()
        #: Whether a site is being computed, or a weight derived: what multiplies then is known.
        self.busy = False
        #: Module, function and reason of work that is known not to be a site, while it is executing.
        self.uncovered: tuple[str, str, str] | None = None
        self._uncovered = uncovered
        self._whole = whole
        #: While expanding, id of a derived weight → itself and its site: a product of every time step is one site.
        self._expanded: dict[int, tuple[torch.Tensor, str]] | None = None
        self._stack: list[_Frame] = []
        self._hooks: list[Any] = []
        self._eagerly = ExitStack()
        modules = dict(model.named_modules())
        #: id of a parameter → path of each module that holds it → its name there
        self._owners: dict[int, dict[str, str]] = {}
        for path, module in modules.items():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    self._owners.setdefault(id(parameter), {})[path] = name
        self._hooked = {path: module for path, module in modules.items() if not self._is_quiet(module)}

    def __enter__(self) -> "SiteMode":
        self._eagerly.enter_context(_eager())
        if not self._hooks:
            self.reset()
            for path, module in self._hooked.items():
                if path not in self.unreached:
                    self._hooks.append(module.register_forward_pre_hook(self._enter_module(path), prepend=True))
                    self._hooks.append(module.register_forward_hook(self._leave_module, always_call=True))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)  # type: ignore[no-untyped-call]
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._eagerly.close()

    @property
    def path(self) -> str:
        """Path of the module that is executing."""
        return self._stack[-1].path

    def reset(self) -> None:
        """Forgets the modules that were executing, before the next forward under the same mode."""
        self._stack = [_Frame("", None)]

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        expansion = EXPANSIONS.get(func)
        if expansion is not None:
            if self._whole is not None and self._whole(func, args, kwargs):
                return func(*args, **kwargs)
            with self._expanding():
                return expansion(*args, **kwargs)
        operation = OPERATIONS.get(func)
        if operation is None:
            if func not in UNCOVERED:
                return func(*args, **kwargs)
            self.uncovered = (self.path, getattr(func, "__name__", str(func)), UNCOVERED[func])
            if self._uncovered is not None:
                self._uncovered(*self.uncovered)
            try:
                return func(*args, **kwargs)
            finally:
                self.uncovered = None
        call = self._call(operation, func, args, kwargs)
        deriving = call is None and any(isinstance(frame.module, ParametrizationList) for frame in self._stack)
        self.busy = call is not None or deriving
        try:
            return func(*args, **kwargs) if call is None else self.handler(call)
        finally:
            self.busy, self.uncovered = False, None

    @contextmanager
    def _expanding(self) -> Iterator[None]:
        """Turns the mode on again inside its own handler, so that the parts of an expansion become sites."""
        self._expanded = {}
        super().__enter__()  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            self._expanded = None
            super().__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def _call(
        self, operation: Operation, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Call | None:
        if func is torch.einsum:
            if len(args) == 2 and isinstance(args[1], list | tuple):
                args = (args[0], *args[1])
            if len(args) != 3:
                if len(args) > 3 and self._uncovered is not None:  # with one tensor it multiplies nothing
                    self.uncovered = (self.path, "einsum", "only einsum of two tensors is covered: split it into pairs")
                    self._uncovered(*self.uncovered)
                return None
        slots: list[int | str] = []
        tensors: list[torch.Tensor] = []
        for position, keyword in operation.operands:
            slots.append(position if position < len(args) else keyword)
            tensors.append(args[position] if position < len(args) else kwargs[keyword])
        if not all(isinstance(tensor, torch.Tensor) and tensor.is_floating_point() for tensor in tensors):
            if any(isinstance(tensor, torch.Tensor) and tensor.is_complex() for tensor in tensors):
                self._tell_complex(func, tensors[1])
            return None
        if any(isinstance(frame.module, ParametrizationList) for frame in self._stack):
            return None  # a weight is being derived: what uses it is the site
        roles: tuple[Role, Role] = ("left", "right")
        if operation.kind != "matrix product" or id(tensors[1]) in self._owners:
            roles = ("input", "weight")
        if operation.kind == "matrix product":
            operation = replace(operation, channel_axis=product_channel_axis(func, args, tensors[1]))
        call_operands = dict(zip(roles, tensors, strict=True))
        name = self._name(operation, call_operands)
        return Call(name, operation, call_operands, func, args, kwargs, dict(zip(roles, slots, strict=True)))

    def _tell_complex(self, func: Callable[..., Any], weight: Any) -> None:
        owner = next(iter(self._owners.get(id(weight), {})), self.path)
        self.uncovered = (owner, getattr(func, "__name__", str(func)), "complex numbers are not quantized")
        if self._uncovered is not None:
            self._uncovered(*self.uncovered)

    def _name(self, operation: Operation, operands: dict[Role, torch.Tensor]) -> str:
        frame = self._stack[-1]
        weight = operands.get("weight")
        owner = self._owners.get(id(weight), {})
        if owner:
            path = frame.path if frame.path in owner else next(iter(owner))
            suffix = owner[path].removesuffix("weight").rstrip("_")
            return f"{path or 'model'}:{suffix}" if suffix else path or "model"
        if self._expanded is not None and id(weight) in self._expanded:
            return self._expanded[id(weight)][1]
        kind = _SHORT.get(operation.kind, "matmul")
        index = frame.calls[kind]
        frame.calls[kind] += 1
        name = f"{frame.path or 'model'}:{kind}_{index}"
        if kind != "matmul" and index == 0 and weight is not None and _only_computes(frame.module):
            name = frame.path or "model"
        if self._expanded is not None and weight is not None:
            self._expanded[id(weight)] = weight, name
        return name

    def _enter_module(self, path: str) -> Callable[[nn.Module, Any], None]:
        def enter(module: nn.Module, args: Any) -> None:
            self._stack.append(_Frame(path, module))

        return enter

    def _is_quiet(self, module: nn.Module) -> bool:
        """Whether nothing is named after the module's frame; most modules of a network need no hooks for it.

        These are exact types of PyTorch that multiply nothing themselves, or that use one weight of their own.
        """
        kind = type(module)
        if kind in _NAMED_BY_WEIGHT:
            return len(self._owners.get(id(module._parameters.get("weight")), ())) == 1
        where, _, name = kind.__module__.rpartition(".")
        quiet = where == "torch.nn.modules" and name in _QUIET and (kind is nn.Sequential or not module._modules)
        return quiet or kind is nn.Identity

    def _leave_module(self, module: nn.Module, args: Any, output: Any) -> None:
        while len(self._stack) > 1 and self._stack.pop().module is not module:
            pass


def _eager() -> AbstractContextManager[Any]:
    """Functions that the model's code compiles run as they are written: inside a compiled one no site is met.

    PyTorch's compiler takes a second to import, so it is asked only if something may have used it.
    """
    if not {"torch._dynamo", "torch.nn.attention.flex_attention"} & sys.modules.keys():
        return nullcontext()
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


def _only_computes(module: nn.Module | None) -> bool:
    """Whether a module is one operation on a weight that it derives (standardized, parametrized, cast)."""
    return module is not None and isinstance(getattr(module, "weight", None), torch.Tensor)
