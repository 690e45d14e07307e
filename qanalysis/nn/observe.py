"""Observation: one pass over the data, one histogram for every activation operand of every site (section 3.4)."""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from qanalysis.kernels.counting import count
from qanalysis.nn.sites import Call, SiteMode
from qanalysis.nn.structure import CallModel, Inputs, call_model
from qanalysis.nn.structure import count as number_of_samples
from qanalysis.nn.uncovered import UncoveredMode
from qanalysis.numerics.calibrate import Percentile
from qanalysis.numerics.histogram import Histogram, exponent_for
from qanalysis.numerics.spec import QuantizerSpec
from qanalysis.schema.errors import UserError
from qanalysis.schema.observations import Growth, Observations
from qanalysis.schema.site import Coverage, NotCovered, Site, TensorId

_COMPUTE_MODULES = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    *(nn.Linear, nn.Bilinear, nn.RNNBase, nn.RNNCellBase),
)


#: Values of an activation that is small and comes again (a hidden state, step by step) are counted so many at once.
_SMALL, _AT_ONCE = 2**15, 2**20
#: Notes of how far values reach, at the most, and the point that is noted beside the maximum.
_MOST_NOTED = 16
_TAIL = Percentile(99.99)


def histogram(x: torch.Tensor, name: str = "tensor") -> Histogram:
    """Histogram of a tensor of any shape, counted where the tensor is.

    Raises:
        UserError: naming `name`, if the tensor is empty or holds NaN or infinity.
    """
    values = flat(x.detach())
    if values.numel() == 0:
        raise UserError(f"{name}: a histogram needs at least one value, but the tensor is empty")
    if values.dtype not in (torch.float32, torch.float64):
        values = values.float()
    low, high = (float(v) for v in torch.aminmax(values))
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int((~torch.isfinite(values)).sum())
        raise UserError(f"{name}: activations must be finite, but {bad} of {values.numel()} are NaN or infinite")
    exponent = exponent_for(max(-low, high))
    return Histogram(count(values, exponent, signed=low < 0), exponent, low, high)


@torch.no_grad()
def observe(
    model: nn.Module,
    batches: Iterable[Inputs],
    progress: Callable[[int], None] | None = None,
    call: CallModel = call_model,
) -> Observations:
    """Runs the model over the batches once and returns a histogram of every activation operand.

    The result does not depend on how the data is batched or ordered, and its size not on how much of it there is.

    Args:
        model: in evaluation mode; it is left as it was.
        batches: inputs on the model's device: tensors `(N, …)`, or tuples and mappings of them (`nn.structure`).
        progress: called with the number of samples seen so far after every batch.
        call: how the model is run on inputs.

    Raises:
        UserError: if there is no batch, or an activation holds NaN or infinity (the site is named).
    """
    observer = _Observer(model)
    samples = 0
    with SiteMode(model, observer.see, observer.see_uncovered) as mode:
        for batch in batches:
            observer.start(number_of_samples(batch))
            mode.reset()
            with nullcontext() if samples else UncoveredMode(mode, observer.see_work):
                call(model, batch)
            samples += number_of_samples(batch)
            observer.note(samples)
            if progress is not None:
                progress(samples)
    if samples == 0:
        raise UserError("calibration needs at least one sample, but got none")
    return Observations(observer.histograms, observer.coverage(), samples, growth=observer.growth(samples))


@torch.no_grad()
def coverage(model: nn.Module, batch: Inputs, call: CallModel = call_model) -> Coverage:
    """The sites of a model and what is not covered, from one forward of `batch`."""
    observer = _Observer(model, histograms=False)
    observer.start(number_of_samples(batch))
    with SiteMode(model, observer.see, observer.see_uncovered) as mode, UncoveredMode(mode, observer.see_work):
        call(model, batch)
    return observer.coverage()


class _Observer:
    """Handler that counts every activation operand it sees."""

    def __init__(self, model: nn.Module, histograms: bool = True) -> None:
        self._model = model
        self._counting = histograms
        self._batch_size = 1
        self._measured: frozenset[str] = frozenset()  # sites whose cost is known from an earlier forward
        self.histograms: dict[TensorId, Histogram] = {}
        self._sites: dict[str, Site] = {}
        self._not_covered: dict[tuple[str, str], NotCovered] = {}
        self._macs: Counter[str | tuple[str, str]] = Counter()  # of the first batch, by site or uncovered work
        self._last: dict[int, _Seen] = {}
        self._met: set[TensorId] = set()  # in this forward
        self._gathered: dict[TensorId, list[torch.Tensor]] = {}  # values not counted yet
        self._growth: list[Growth] = []
        self._next = 1

    def start(self, batch_size: int) -> None:
        """Tells that a forward of so many samples begins."""
        self._batch_size = batch_size
        self._measured = frozenset(self._sites)
        self._met.clear()

    def note(self, samples: int) -> None:
        """Notes how far the values reach by now: after every batch, and ever more seldom where there are many."""
        self._count_gathered()
        if samples < self._next:
            return
        self._growth.append(self._reach(samples))
        if len(self._growth) > _MOST_NOTED:
            del self._growth[::2]
        spacing = self._growth[-1].samples - self._growth[-2].samples if len(self._growth) > 1 else 1
        self._next = samples + spacing

    def growth(self, samples: int) -> tuple[Growth, ...]:
        """The notes, the last of them after all samples."""
        if self._growth and self._growth[-1].samples == samples:
            return tuple(self._growth)
        return (*self._growth, self._reach(samples))

    def _reach(self, samples: int) -> Growth:
        tail = {}
        for tensor, seen in self.histograms.items():
            range_ = _TAIL(seen, QuantizerSpec())
            tail[str(tensor)] = 0.0 if range_ is None else range_.amax
        return Growth(samples, {str(tensor): seen.amax for tensor, seen in self.histograms.items()}, tail)

    def see(self, call: Call) -> torch.Tensor:
        activations = {role: tensor for role, tensor in call.operands.items() if role != "weight"}
        if self._counting:
            for role, tensor in activations.items():
                if tensor.numel() == 0:  # a branch that this batch has nothing for
                    continue
                tensor_id = TensorId(call.site, role)
                if tensor_id in self._met and tensor.numel() <= _SMALL:
                    self._gather(tensor_id, tensor)
                    continue
                self._met.add(tensor_id)
                try:
                    self._add(tensor_id, self._histogram(tensor, str(tensor_id)))
                except UserError:  # what is not finite may have come from before
                    self._count_gathered()
                    raise
        output = call.compute()
        if call.site not in self._measured:
            self._macs[call.site] += call.multiply_accumulates(output)  # a module that is called twice costs twice
            weight = call.operands.get("weight")
            self._sites[call.site] = Site(
                name=call.site,
                kind=call.operation.kind,
                macs=self._macs[call.site] // self._batch_size,
                roles=tuple(activations),
                input_shape=tuple(next(iter(activations.values())).shape),
                weight_shape=None if weight is None else tuple(weight.shape),
            )
        return output

    def _gather(self, tensor_id: TensorId, tensor: torch.Tensor) -> None:
        """Keeps a copy of the values: counting many at once takes a fraction of the time, and gives the same."""
        values = self._gathered.setdefault(tensor_id, [])
        values.append(flat(tensor.detach()).clone())
        if sum(map(len, values)) > _AT_ONCE:
            self._add(tensor_id, histogram(torch.cat(self._gathered.pop(tensor_id)), str(tensor_id)))

    def _count_gathered(self) -> None:
        while self._gathered:
            tensor_id = next(iter(self._gathered))
            self._add(tensor_id, histogram(torch.cat(self._gathered.pop(tensor_id)), str(tensor_id)))

    def _add(self, tensor_id: TensorId, seen: Histogram) -> None:
        known = self.histograms.get(tensor_id)
        self.histograms[tensor_id] = seen if known is None else known.merge(seen)

    def see_uncovered(self, module: str, operation: str, reason: str) -> None:
        self.see_work(module, operation, reason, 0)

    def see_work(self, module: str, operation: str, reason: str, macs: int) -> None:
        """Notes work outside of sites: of the module, the operation and so many multiply-accumulates of the batch."""
        known = self._not_covered.get((module, operation))
        if known is None:
            known = NotCovered(module=module or "model", operation=operation, reason=reason)
        if macs:
            self._macs[module, operation] += macs
            known = known.model_copy(update={"macs": self._macs[module, operation] // self._batch_size})
        self._not_covered[module, operation] = known

    def coverage(self) -> Coverage:
        known = {site.partition(":")[0] for site in self._sites} | {
            entry.module for entry in self._not_covered.values()
        }
        for path, module in self._model.named_modules():
            if isinstance(module, _COMPUTE_MODULES) and (path or "model") not in known:
                self.see_uncovered(path, type(module).__name__, "not executed in the forward pass that was observed")
        return Coverage(sites=tuple(self._sites.values()), not_covered=tuple(self._not_covered.values()))

    def _histogram(self, tensor: torch.Tensor, name: str) -> Histogram:
        """The tensor's histogram; one that feeds several sites (a block and its shortcut) is counted once."""
        if tensor.is_inference():  # these do not tell whether they were modified
            return histogram(tensor, name)
        seen = self._last.get(id(tensor))
        if seen is not None and seen.tensor() is tensor and seen.version == tensor._version:
            return seen.histogram
        result = histogram(tensor, name)
        self._last = {key: value for key, value in self._last.items() if value.tensor() is not None}
        self._last[id(tensor)] = _Seen(weakref.ref(tensor), tensor._version, result)
        return result


@dataclass(frozen=True)
class _Seen:
    tensor: "weakref.ref[torch.Tensor]"
    version: int
    histogram: Histogram


def flat(x: torch.Tensor) -> torch.Tensor:
    """All values in memory order, so that no layout of a dense tensor is copied."""
    order = sorted(range(x.ndim), key=lambda axis: x.stride(axis), reverse=True)
    return x.permute(order).reshape(-1)
