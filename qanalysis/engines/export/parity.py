"""Parity: whether an exported file computes what the simulation does, site by site, and where it starts to differ.

The model runs in PyTorch with the engine's own tensors fed in at every site: what lies before the site and what the
site computes are compared one by one, so that one difference does not hide the next.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from qanalysis.engines.export.graph import Network
from qanalysis.engines.export.operands import Operands
from qanalysis.engines.export.whole import in_one_piece
from qanalysis.engines.reference import Reference
from qanalysis.nn.residual import Addition, ResidualMode
from qanalysis.nn.sites import Call, SiteMode
from qanalysis.schema.errors import UserError
from qanalysis.schema.site import TensorId
from qanalysis.tasks.cut import Cut, Tensors

#: Relative difference above which two executions of a site are not the same computation; rounding gives 1e-6.
TOLERANCE = 1e-3
#: Engines use all codes of int8, the paper's scale scheme all but this one.
_LOWEST, _HIGHEST = -128, 127
_UNROUNDED = "/unrounded"
#: Name of the entry for what comes after the last site.
LAST = "outputs"


@dataclass(frozen=True)
class SiteDifference:
    """How far engine and simulation are apart at one site.

    Attributes:
        site: its name.
        before: of the site's inputs, given the outputs of all earlier sites, relative to their largest magnitude.
        output: of its output, given its inputs, likewise.
    """

    site: str
    before: float
    output: float

    @property
    def largest(self) -> float:
        """The larger of the two."""
        return max(self.before, self.output)


class Deployed(nn.Module):
    """The folded model with integers and steps of a file, computed in PyTorch as an engine does.

    It differs from the simulation in two things: a value is divided by its step (not multiplied by the inverse), and
    the code -128 is used.

    Args:
        model: the folded model.
        operands: what the file holds.
    """

    def __init__(self, model: nn.Module, operands: Operands) -> None:
        super().__init__()
        self.model = model
        self._steps = {tensor: torch.tensor(step) for tensor, step in operands.steps.items()}
        self._codes = {key: torch.from_numpy(codes.values()) for key, codes in operands.codes.items()}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's outputs."""
        with ResidualMode(self.model, self.site, self.add, in_one_piece):
            return self.model(*args, **kwargs)

    def outputs(self, cut: Cut, given: Tensors) -> Tensors:
        """What the file gives for its inputs."""
        with ResidualMode(self.model, self.site, self.add, in_one_piece):
            return cut.call(self.model, given)

    def site(self, call: Call) -> torch.Tensor:
        """A site's output from its operands as an engine sees them."""
        return self.compute(call, {role: x for role, x in call.operands.items() if role != "weight"})

    def compute(self, call: Call, inputs: Mapping[Any, torch.Tensor]) -> torch.Tensor:
        """A site's output from these inputs, by role."""
        replaced = {role: self._fake(TensorId(call.site, role), x) for role, x in inputs.items()}
        codes = self._codes.get((call.site, call.operation.channel_axis))
        if codes is not None:
            replaced["weight"] = codes.to(call.operands["weight"].dtype)
        return call.compute(**replaced)

    def add(self, addition: Addition) -> torch.Tensor:
        """A residual addition."""
        replaced = {role: self._fake(TensorId(addition.name, role), x) for role, x in addition.operands.items()}
        return addition.compute(**replaced)

    def _fake(self, tensor: TensorId, x: torch.Tensor) -> torch.Tensor:
        step = self._steps.get(tensor)
        if step is None:
            return x
        step = step.to(x.dtype)
        return torch.clamp(torch.round(x / step), _LOWEST, _HIGHEST) * step


@torch.no_grad()
def differences(
    network: Network, model: nn.Module, cut: Cut, operands: Operands, inputs: Tensors
) -> tuple[SiteDifference, ...]:
    """Compares every site of a file with the simulation on the same inputs.

    Args:
        network: the file.
        model: the folded model.
        cut: what of the model is in the file.
        operands: what was put into the file.
        inputs: the file's inputs; all inner tensors of these are held in memory.

    Returns:
        one entry for each site, in the order of execution, and one for what comes after the last, named `outputs`, or
        as the output is where there is but one.

    Raises:
        UserError: if the runtime cannot load or execute the file, or the sites are not those of the model.
    """
    real_name = {name: f"{name}{_UNROUNDED}" for pool in network.pools for name in pool.output}
    names = dict.fromkeys(
        name
        for call in network.calls
        for name in (*(real_name.get(operand, operand) for operand in call.operands.values()), call.output)
    )
    given = {name: tensor.contiguous().numpy() for name, tensor in inputs.items()}
    proto = _with_pools(network, real_name)
    ends = {value.name for value in (*network.proto.graph.input, *network.proto.graph.output)}
    reference = Reference(proto, tuple(name for name in names if name not in ends))
    tensors: dict[str, NDArray[Any]] = reference.tensors(given)
    outputs = reference.run(given)
    tensors |= given | outputs
    pending = defaultdict(list)
    for call in network.calls:
        pending[call.site].append(call)
    deployed = Deployed(model, operands)
    found: dict[str, SiteDifference] = {}

    left = _executions(model, cut, inputs)

    def site(call: Call) -> torch.Tensor:
        entries, unused = pending[call.site], left[call.site] > len(pending[call.site])
        left[call.site] -= 1
        if not entries:
            if unused:
                return deployed.site(call)
            raise UserError(f"the file has no execution of site {call.site!r}, but the model has one more")
        entry = entries[0]
        real = {role: torch.from_numpy(tensors[real_name.get(name, name)]) for role, name in entry.operands.items()}
        before = max(_difference(call.operands[role], x) for role, x in real.items())  # type: ignore[index]
        if unused and before > TOLERANCE:  # of more executions than the file has, this is one that leads to no output
            return deployed.site(call)
        entries.pop(0)
        output = torch.from_numpy(tensors[entry.output])
        after = _difference(deployed.compute(call, real), output)
        known = found.get(call.site)
        if known is not None:
            before, after = max(before, known.before), max(after, known.output)
        found[call.site] = SiteDifference(call.site, before, after)
        return output

    with ResidualMode(model, site, deployed.add, in_one_piece):
        result = cut.call(model, inputs)
    last = max(_difference(result[name], torch.from_numpy(values)) for name, values in outputs.items())
    name = next(iter(outputs)) if len(outputs) == 1 else LAST
    return (*found.values(), SiteDifference(name, last, 0.0))


def _executions(model: nn.Module, cut: Cut, inputs: Tensors) -> Counter[str]:
    """How often one forward executes each site; what leads to no output is not in the file."""
    count: Counter[str] = Counter()

    def site(call: Call) -> torch.Tensor:
        count[call.site] += 1
        return call.compute()

    with SiteMode(model, site, whole=in_one_piece):
        cut.call(model, inputs)
    return count


def first_wrong(found: tuple[SiteDifference, ...]) -> str | None:
    """Where a file starts to compute something else, as the end of a sentence; None if it does not."""
    previous = ""
    for entry in found:
        if not entry.before <= TOLERANCE:
            place = "after the last site" if entry is found[-1] else f"in the input of site {entry.site!r}"
            return f"{place}{f', after {previous!r}' if previous else ''} (relative difference {entry.before:.2g})"
        if not entry.output <= TOLERANCE:
            return f"at site {entry.site!r} (relative difference {entry.output:.2g})"
        previous = entry.site
    return None


def _with_pools(network: Network, real_name: Mapping[str, str]) -> onnx.ModelProto:
    """The file, and beside its pools of rounded values the same pools of real ones: what sites take before rounding."""
    if not network.pools:
        return network.proto
    proto = onnx.ModelProto()
    proto.CopyFrom(network.proto)
    for pool in network.pools:
        twin = proto.graph.node.add()
        twin.CopyFrom(pool)
        twin.name += _UNROUNDED
        twin.input[:] = [real_name.get(name, name) for name in pool.input]
        twin.output[:] = [real_name[name] for name in pool.output]
    return proto


def _difference(expected: torch.Tensor, actual: torch.Tensor) -> float:
    if expected.shape != actual.shape:
        return float("inf")
    scale = max(float(actual.abs().max()), float(expected.abs().max()), 1e-30)
    return float((expected - actual).abs().max()) / scale
