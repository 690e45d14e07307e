"""Report: how an analysis tells of its progress; the CLI draws a bar of it, a job writes events."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeVar

import torch

Batch = TypeVar("Batch", torch.Tensor, tuple[torch.Tensor, torch.Tensor | None])


class Report(Protocol):
    """Called with the kind of event (`progress`, `row`) and what it says."""

    def __call__(self, kind: str, **body: Any) -> None:
        """Takes one event."""
        ...


def silent(kind: str, **body: Any) -> None:
    """A report that nobody reads."""


def counted(batches: Iterable[Batch], report: Report, stage: str, total: int) -> Iterator[Batch]:
    """Passes batches on and reports how many samples went by: stage, done, total."""
    done = 0
    report("progress", stage=stage, done=0, total=total)
    for batch in batches:
        yield batch
        done += len(batch[0] if isinstance(batch, tuple) else batch)
        report("progress", stage=stage, done=min(done, total), total=total)


class Snapshot:
    """What is known so far, told as one event `table` that replaces the one before it."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._body: dict[str, Any] = {}

    def update(self, **parts: Any) -> None:
        """Adds parts, or replaces those of the same name, and tells all of it."""
        self._body.update(parts)
        self._report("table", **self._body)
