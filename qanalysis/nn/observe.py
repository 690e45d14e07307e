"""Observation: one pass over the data, one histogram for every activation operand of every site (section 3.4)."""

import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from threading import Barrier

import numpy as np
import torch
from torch import nn

from qanalysis.nn.sites import Call, SiteMode
from qanalysis.numerics.histogram import BINS, Histogram, exponent_for
from qanalysis.schema.observations import Observations
from qanalysis.schema.site import Coverage, NotCovered, Site, TensorId

#: Values scaled and counted at a time: bounds the memory beside the tensor.
_CHUNK = 2**20
#: Tables that neighbouring values are counted in by turns. Adding to one counter twice in a row waits for memory: half
#: of what ReLU returns is zero, and counts at 0.6 instead of 1.0 ns a value with four tables.
_TABLES = 4
#: Below this many values one table, and no second thread, is faster.
_SMALL = 2**16
_COMPUTE_MODULES = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    *(nn.Linear, nn.Bilinear, nn.RNNBase, nn.RNNCellBase),
)


def histogram(x: torch.Tensor, name: str = "tensor") -> Histogram:
    """Histogram of a tensor of any shape, counted where the tensor is.

    Raises:
        ValueError: naming `name`, if the tensor is empty or holds NaN or infinity.
    """
    values = flat(x.detach())
    if values.numel() == 0:
        raise ValueError(f"{name}: a histogram needs at least one value, but the tensor is empty")
    if values.dtype not in (torch.float32, torch.float64):
        values = values.float()
    low, high = (float(v) for v in torch.aminmax(values))
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int((~torch.isfinite(values)).sum())
        raise ValueError(f"{name}: activations must be finite, but {bad} of {values.numel()} are NaN or infinite")
    exponent = exponent_for(max(-low, high))
    signed = low < 0
    tables = _TABLES if values.device.type == "cpu" and values.numel() >= _SMALL else 1
    bins = 2 * BINS if signed else BINS
    offsets = _offsets(signed, tables).to(values.device)
    counts = torch.zeros(tables * bins, dtype=torch.int64, device=values.device)
    scaled = torch.empty(min(values.numel(), _CHUNK), dtype=values.dtype, device=values.device)
    index = torch.empty_like(scaled, dtype=torch.int16)
    for part in values.split(_CHUNK):
        if part.numel() < len(scaled):
            scaled, index, offsets = (buffer[: part.numel()] for buffer in (scaled, index, offsets))
        torch.mul(part, 2.0**-exponent, out=scaled)  # exact: a power of two
        index.copy_(scaled.floor_() if signed else scaled)
        if signed and exponent > 0:  # then a small negative value may scale to -0, whose floor is not -1
            index[(part < 0) & (index == 0)] = -1
        if signed or tables > 1:
            index += offsets[: len(index)]
        counts += _bincount(index, tables * bins)
    counted = counts.view(tables, bins).sum(0).cpu().numpy()
    if not signed:
        counted = np.concatenate((np.zeros(BINS, np.int64), counted))
    return Histogram(counted, exponent, low, high)


@torch.no_grad()
def observe(
    model: nn.Module, batches: Iterable[torch.Tensor], progress: Callable[[int], None] | None = None
) -> Observations:
    """Runs the model over the batches once and returns a histogram of every activation operand.

    The result does not depend on how the data is batched or ordered, and its size not on how much of it there is.

    Args:
        model: in evaluation mode; it is left as it was.
        batches: inputs `(N, …)` on the model's device.
        progress: called with the number of samples seen so far after every batch.

    Raises:
        ValueError: if there is no batch, or an activation holds NaN or infinity (the site is named).
    """
    observer = _Observer(model)
    samples = 0
    with SiteMode(model, observer.see, observer.see_uncovered) as mode:
        for batch in batches:
            observer.start(len(batch))
            mode.reset()
            model(batch)
            samples += len(batch)
            if progress is not None:
                progress(samples)
    if samples == 0:
        raise ValueError("calibration needs at least one sample, but got none")
    return Observations(observer.histograms, observer.coverage(), samples)


@torch.no_grad()
def coverage(model: nn.Module, batch: torch.Tensor) -> Coverage:
    """The sites of a model and what is not covered, from one forward of `batch`."""
    observer = _Observer(model, histograms=False)
    observer.start(len(batch))
    with SiteMode(model, observer.see, observer.see_uncovered):
        model(batch)
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
        self._last: dict[int, _Seen] = {}

    def start(self, batch_size: int) -> None:
        """Tells that a forward of so many samples begins."""
        self._batch_size = batch_size
        self._measured = frozenset(self._sites)

    def see(self, call: Call) -> torch.Tensor:
        activations = {role: tensor for role, tensor in call.operands.items() if role != "weight"}
        if self._counting:
            for role, tensor in activations.items():
                tensor_id = TensorId(call.site, role)
                seen = self._histogram(tensor, str(tensor_id))
                known = self.histograms.get(tensor_id)
                self.histograms[tensor_id] = seen if known is None else known.merge(seen)
        output = call.compute()
        if call.site not in self._measured:
            known_site = self._sites.get(call.site)
            earlier = 0 if known_site is None else known_site.macs  # a module that is called twice costs twice
            weight = call.operands.get("weight")
            self._sites[call.site] = Site(
                name=call.site,
                kind=call.operation.kind,
                macs=earlier + call.multiply_accumulates(output) // self._batch_size,
                roles=tuple(activations),
                input_shape=tuple(next(iter(activations.values())).shape),
                weight_shape=None if weight is None else tuple(weight.shape),
            )
        return output

    def see_uncovered(self, module: str, operation: str, reason: str) -> None:
        entry = NotCovered(module=module or "model", operation=operation, reason=reason)
        self._not_covered.setdefault((module, operation), entry)

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


@lru_cache(maxsize=4)
def _offsets(signed: bool, tables: int) -> torch.Tensor:
    """What makes bins positions in the tables, by turns: `(_CHUNK,)`."""
    bins = 2 * BINS if signed else BINS
    first = torch.arange(tables) * bins + (BINS if signed else 0)
    return first.to(torch.int16).repeat(_CHUNK // tables)


def _bincount(index: torch.Tensor, length: int) -> torch.Tensor:
    """Counts `(length,)`; PyTorch counts in one thread, so that the parts of a large tensor are given to several."""
    threads = torch.get_num_threads()
    # With two cores it does not pay: the second is held for a while by PyTorch's own thread, waiting for its next task.
    if index.device.type != "cpu" or threads < 3 or index.numel() < _SMALL:
        return torch.bincount(index, minlength=length)
    parts = index.split(-(-index.numel() // threads))
    return sum(_pool(threads).map(lambda part: torch.bincount(part, minlength=length), parts), index.new_zeros(()))


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads in which PyTorch starts no threads of its own.

    Those would outnumber the cores, and from then on every operation of the process waits longer for its threads.
    """
    ready = Barrier(threads + 1)

    def alone() -> None:
        torch.get_num_threads()  # reads the default now, so that it does not override the next line
        torch.set_num_threads(1)  # holds for this thread, and for what is created later
        ready.wait()

    pool = ThreadPoolExecutor(threads, "histogram", alone)
    for _ in range(threads):
        pool.submit(int)  # starts a thread
    ready.wait()
    torch.set_num_threads(threads)
    return pool
