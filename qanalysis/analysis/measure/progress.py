"""Report: how an analysis tells of its progress; the CLI draws a bar of it, a job writes events."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from qanalysis.data.split import Batch
from qanalysis.nn.structure import count


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
        done += count(batch[0])
        report("progress", stage=stage, done=min(done, total), total=total)


def staged(report: Report, work: Mapping[str, float]) -> Report:
    """A report whose progress also tells the `share` of all stages that is done, from 0 to 1.

    Args:
        report: what is told.
        work: the stages in order, each with about how long it takes, in any unit; a stage not named takes no time.
    """
    whole = sum(work.values())
    share = 0.0

    def tell(kind: str, **body: Any) -> None:
        nonlocal share
        if kind == "progress":
            if body["stage"] in work:
                names = list(work)
                before = sum(work[name] for name in names[: names.index(body["stage"])])
                share = (before + work[body["stage"]] * body["done"] / max(body["total"], 1)) / whole
            body["share"] = round(share, 4)
        report(kind, **body)

    return tell


class Snapshot:
    """What is known so far, told as one event `table` that replaces the one before it."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._body: dict[str, Any] = {}

    def update(self, **parts: Any) -> None:
        """Adds parts, or replaces those of the same name, and tells all of it."""
        self._body.update(parts)
        self._report("table", **self._body)
