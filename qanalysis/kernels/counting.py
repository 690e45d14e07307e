"""Counting a tensor's values by bin: compiled C where the installation could build it, else PyTorch's operations.

Both give the same counts to the bit; the C makes one pass over memory instead of five, in PyTorch's own threads.
"""

import ctypes
from functools import lru_cache

import numpy as np
import torch

from qanalysis.kernels.compiled import Compiled, load
from qanalysis.numerics.histogram import BINS, Counts

#: Values scaled and counted at a time by PyTorch: bounds the memory beside the tensor.
_CHUNK = 2**20
#: Tables that neighbouring values are counted in by turns. Adding to one counter twice in a row waits for memory: half
#: of what ReLU returns is zero, and counts at 0.6 instead of 1.0 ns a value with four tables.
_TABLES = 4
#: Below this many values one table is faster.
_SMALL = 2**16


def count(values: torch.Tensor, exponent: int, signed: bool) -> Counts:
    """How many values lie in each bin of width `2**exponent`: `(2 * BINS,)`.

    Args:
        values: `(n,)`, finite, all within the bins.
        exponent: as `numerics.histogram.exponent_for` gives it, or larger.
        signed: whether there may be negative values.
    """
    values = values.resolve_neg()  # a view that only says "negated" is not what lies in memory
    if values.device.type == "cpu" and values.dtype == torch.float32:
        compiled = compiled_count()
        if compiled is not None:
            return _by_c(compiled, values, exponent)
    return _by_pytorch(values, exponent, signed)


@lru_cache(maxsize=1)
def compiled_count() -> Compiled | None:
    """The function compiled from `_counting.c`; None where it was not compiled, or PyTorch uses another OpenMP."""
    arguments = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_void_p, ctypes.c_int]
    return load("qanalysis.kernels._counting", "qanalysis_count", arguments)


def _by_c(compiled: Compiled, values: torch.Tensor, exponent: int) -> Counts:
    values = values.contiguous()
    counts = np.zeros(2 * BINS, np.int64)
    compiled(values.data_ptr(), values.numel(), 2.0**-exponent, counts.ctypes.data, torch.get_num_threads())
    return counts


def _by_pytorch(values: torch.Tensor, exponent: int, signed: bool) -> Counts:
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
        counts += torch.bincount(index, minlength=tables * bins)
    counted: Counts = counts.view(tables, bins).sum(0).cpu().numpy()
    return counted if signed else np.concatenate((np.zeros(BINS, np.int64), counted))


@lru_cache(maxsize=4)
def _offsets(signed: bool, tables: int) -> torch.Tensor:
    """What makes bins positions in the tables, by turns: `(_CHUNK,)`."""
    bins = 2 * BINS if signed else BINS
    first = torch.arange(tables) * bins + (BINS if signed else 0)
    return first.to(torch.int16).repeat(_CHUNK // tables)
