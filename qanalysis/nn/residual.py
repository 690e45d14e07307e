"""Residual additions: the skip connections around convolutions, whose operands an engine may want in int8.

TensorRT adds a residual inside the convolution's kernel and hands int8 on only if the other operand is int8, too (its
"Q/DQ layer-placement recommendations"); OpenVINO's own toolkit rounds both operands, so that a sum reads and writes
bytes; the paper leaves all additions in floating point (section 4).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.weak import WeakIdKeyDictionary

from qanalysis.kernels.quantize import fake_quantize, per_tensor
from qanalysis.nn.expansions import EXPANSIONS
from qanalysis.nn.observe import histogram
from qanalysis.nn.operations import OPERATIONS
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.nn.sites import Handler, SiteMode, Whole
from qanalysis.nn.structure import CallModel, Inputs, call_model
from qanalysis.numerics.histogram import Histogram
from qanalysis.schema.flavours import Residual
from qanalysis.schema.observations import RangeTable
from qanalysis.schema.plan import Plan
from qanalysis.schema.site import TensorId

#: Roles of an addition's operands: what skipped the convolution, and the convolution's output.
ROLE, PRODUCT = "residual", "product"
#: Which of them are quantized, by what a person asks for.
ROLES: Mapping[Residual, tuple[str, ...]] = {"fp": (), "int8": (ROLE,), "int8-both": (ROLE, PRODUCT)}
_ADDITIONS: frozenset[Callable[..., Any]] = frozenset(
    {
        *(torch.add, torch.Tensor.add, torch.Tensor.add_),
        *(torch.Tensor.__add__, torch.Tensor.__iadd__, torch.Tensor.__radd__),
    }
)
_NORMS: frozenset[Callable[..., Any]] = frozenset({F.batch_norm, torch.batch_norm})


@dataclass
class Addition:
    """One sum of a convolution's output and what skipped it.

    Attributes:
        name: module path and number, e.g. `layer1.0:add_0`.
        operands: both, by role; the residual is the one that fewer layers have been through.
        around: name of the convolution whose output it is added to.
    """

    name: str
    operands: dict[str, torch.Tensor]
    around: str
    _function: Callable[..., torch.Tensor]
    _order: tuple[str, str]

    def compute(self, **replaced: torch.Tensor) -> torch.Tensor:
        """The sum, with operands replaced by role."""
        operands = self.operands | replaced
        first, second = (operands[role] for role in self._order)
        if self._function is torch.Tensor.add_ and self._order[0] in replaced:  # the sum may be read from its operand
            return self.operands[self._order[0]].copy_(first + second)
        return self._function(first, second)


@dataclass(frozen=True)
class _Origin:
    """How many sites a tensor has been through, and the convolution that it is the plain output of, if any."""

    depth: int = 0
    product_of: str | None = None


class ResidualMode(SiteMode):
    """A site mode that also meets residual additions around convolutions.

    Which operand is the residual is decided by depth: it has been through fewer sites. Sums of branches that are alike
    are left alone.
    """

    def __init__(
        self,
        model: nn.Module,
        handler: Handler,
        add: Callable[[Addition], torch.Tensor],
        whole: Whole | None = None,
    ) -> None:
        super().__init__(model, self._follow(handler), whole=whole)
        self._add = add
        self._origins = WeakIdKeyDictionary()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _ADDITIONS and not kwargs:
            addition = self._addition(func, args)
            if addition is not None:
                return self._note(self._add(addition), self._depth(args), None)
        result = super().__torch_function__(func, types, args, kwargs)
        if func in OPERATIONS or func in EXPANSIONS or not isinstance(result, torch.Tensor | tuple | list):
            return result
        product = self._origin(args[0]).product_of if func in _NORMS else None
        return self._note(result, self._depth((args, kwargs)), product)

    def _follow(self, handler: Handler) -> Handler:
        def handle(call: Any) -> torch.Tensor:
            output = handler(call)
            product = call.site if call.operation.kind == "convolution" else None
            self._note(output, 1 + self._depth(tuple(call.operands.values())), product)
            return output

        return handle

    def _addition(self, func: Callable[..., Any], args: tuple[Any, ...]) -> Addition | None:
        if len(args) != 2 or not all(isinstance(x, torch.Tensor) and x.is_floating_point() for x in args):
            return None
        if args[0].shape != args[1].shape or args[0].ndim < 3:
            return None
        first, second = (self._origin(x) for x in args)
        if first.depth == second.depth:
            return None
        slot = 0 if first.depth < second.depth else 1
        around = (second if slot == 0 else first).product_of
        if around is None:
            return None
        frame = self._stack[-1]
        number = frame.calls["add"]
        frame.calls["add"] += 1
        order = (ROLE, PRODUCT) if slot == 0 else (PRODUCT, ROLE)
        operands = dict(zip(order, args, strict=True))
        return Addition(f"{frame.path or 'model'}:add_{number}", operands, around, func, order)

    def _origin(self, x: Any) -> _Origin:
        if not isinstance(x, torch.Tensor):
            return _Origin()
        origin = self._origins.get(x, _Origin())
        assert isinstance(origin, _Origin)
        return origin

    def _depth(self, value: Any) -> int:
        if isinstance(value, torch.Tensor):
            return self._origin(value).depth
        if isinstance(value, dict):
            value = tuple(value.values())
        if isinstance(value, tuple | list):
            return max((self._depth(item) for item in value), default=0)
        return 0

    def _note(self, result: Any, depth: int, product: str | None) -> Any:
        if isinstance(result, torch.Tensor):
            self._origins[result] = _Origin(depth, product)
        elif isinstance(result, tuple | list):
            for item in result:
                self._note(item, depth, product)
        return result


class ResidualQuantizedModel(QuantizedModel):
    """A quantized model whose residual additions have operands that are quantized, too, as an engine does.

    They are quantized where the convolution is.

    Args:
        model: in evaluation mode.
        plan: which sites, and how.
        ranges: of the activations, and of those operands of additions that are to be quantized, under the addition's
            name and the roles in `ROLES`.
    """

    def __init__(self, model: nn.Module, plan: Plan, ranges: RangeTable) -> None:
        super().__init__(model, plan, ranges)
        self._table: Mapping[TensorId, Any] = ranges.ranges

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's own forward, with its sites and residuals quantized."""
        with ResidualMode(self.model, self.compute, self._add):
            return self.model(*args, **kwargs)

    def _add(self, addition: Addition) -> torch.Tensor:
        spec = self.plan.activation_spec(addition.around)
        if spec is None or addition.around in self._unranged:
            return addition.compute()
        replaced = {}
        for role, x in addition.operands.items():
            range_ = self._table.get(TensorId(addition.name, role))
            if range_ is not None:
                replaced[role] = fake_quantize(x, per_tensor(range_, spec).to(x.device, x.dtype))
        return addition.compute(**replaced)


@torch.no_grad()
def observe_residuals(
    model: nn.Module,
    batches: Iterable[Inputs],
    roles: tuple[str, ...] = ROLES["int8-both"],
    call: CallModel = call_model,
) -> dict[TensorId, Histogram]:
    """Histograms of the operands of all residual additions, from one pass over the data.

    Args:
        model: in evaluation mode.
        batches: inputs.
        roles: which operands.
        call: how the model is run on inputs.

    Raises:
        ValueError: if an operand holds NaN or infinity (it is named).
    """
    found: dict[TensorId, Histogram] = {}

    def add(addition: Addition) -> torch.Tensor:
        for role in roles:
            tensor = TensorId(addition.name, role)
            seen = histogram(addition.operands[role], str(tensor))
            found[tensor] = found[tensor].merge(seen) if tensor in found else seen
        return addition.compute()

    with ResidualMode(model, lambda call: call.compute(), add) as mode:
        for batch in batches:
            mode.reset()
            call(model, batch)
    return found
