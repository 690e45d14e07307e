"""Processes: the ranks of a fine-tune that `torchrun` started on several devices, or the one process there is else."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process among all that train together.

    Attributes:
        rank: its number, from 0; only rank 0 measures, reports and writes.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether it is the one that speaks for all."""
        return self.rank == 0

    def share(self, samples: int) -> slice:
        """The part of a batch of so many samples that is this process's."""
        return slice(self.rank * samples // self.count, (self.rank + 1) * samples // self.count)

    def parallel(self, network: nn.Module) -> nn.Module:
        """The network with its gradients averaged over all processes."""
        return network if self.count == 1 else DistributedDataParallel(network)

    def mean(self, value: float) -> float:
        """The mean over all processes, in all of them."""
        if self.count == 1:
            return value
        total = torch.tensor([value], dtype=torch.float64)
        if distributed.get_backend() == "nccl":
            total = total.cuda()
        distributed.all_reduce(total)
        return float(total) / self.count

    def agreed(self, value: T) -> T:
        """The value of rank 0, in all processes."""
        if self.count == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values)
        return values[0]


#: The only process there is.
ALONE = Processes()


def device(name: str) -> str:
    """The device of a name for this process: under torchrun each takes a GPU of its own."""
    local = os.environ.get("LOCAL_RANK")
    if local is None or name not in ("auto", "cuda") or not torch.cuda.is_available():
        return name
    return f"cuda:{local}"


@contextmanager
def joined() -> Iterator[Processes]:
    """Joins the processes that torchrun started, for as long as the context lasts."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Processes(distributed.get_rank(), count)
    finally:
        distributed.destroy_process_group()


def speaks() -> bool:
    """Whether this process prints and writes: all do, but the further ones of torchrun."""
    return os.environ.get("RANK", "0") == "0"
