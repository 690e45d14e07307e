"""Speed model: predicted latency of a network under any plan, from a few measurements (pure functions).

Times of layers in int8 and in floating point are added up, scaled to the two measured ends (all sites in one of them),
and every tensor that crosses from one precision to the other costs a time per megabyte.
"""

from collections.abc import Collection, Sequence
from typing import TypeVar

from pydantic import Field

from qanalysis.schema.base import Record

Item = TypeVar("Item")


class Edge(Record):
    """A tensor that a site takes.

    Attributes:
        sources: sites whose outputs it is computed from, with no site between; empty at the network's input.
        megabytes: its size in float32 for the batch of the model.
    """

    sources: tuple[str, ...]
    megabytes: float


class SiteSpeed(Record):
    """One site in both precisions.

    Attributes:
        site: its name.
        int8_ms: its time in int8, conversion of its inputs included.
        float_ms: its time in floating point.
        inputs: the tensors it takes.
    """

    site: str
    int8_ms: float
    float_ms: float
    inputs: tuple[Edge, ...] = ()


class Check(Record):
    """A plan that was measured, to see how good the model is.

    Attributes:
        skipped: number of sites in floating point.
        measured_ms: its latency.
        predicted_ms: what the model says.
        fitted: whether the cost of boundaries was fitted to it.
    """

    skipped: int
    measured_ms: float
    predicted_ms: float
    fitted: bool

    @property
    def error(self) -> float:
        """Of the prediction, in %."""
        return 100 * (self.predicted_ms - self.measured_ms) / self.measured_ms


class SpeedModel(Record):
    """Latency of a network in one engine, for one batch size.

    Attributes:
        engine: name of the engine.
        batch: samples of one inference.
        threads: of the engine; 0 for all cores.
        sites: all sites that the plan may quantize.
        int8_ms: measured with all of them in int8.
        float_ms: measured with all in floating point.
        boundary_ms_per_mb: cost of a tensor that crosses from one precision to the other.
        checks: plans that were measured besides.
    """

    engine: str
    batch: int
    threads: int
    sites: tuple[SiteSpeed, ...]
    int8_ms: float = Field(gt=0)
    float_ms: float = Field(gt=0)
    boundary_ms_per_mb: float = 0.0
    checks: tuple[Check, ...] = ()

    def predict(self, skipped: Collection[str]) -> float:
        """Latency in ms with these sites in floating point and all others in int8."""
        return self.additive(skipped) + self.boundary_ms_per_mb * self.boundary_megabytes(skipped)

    def additive(self, skipped: Collection[str]) -> float:
        """The sum of the layers, scaled so that both ends are what was measured."""
        full = sum(site.float_ms - site.int8_ms for site in self.sites)
        if not full:
            return self.float_ms if skipped else self.int8_ms
        part = sum(site.float_ms - site.int8_ms for site in self.sites if site.site in skipped)
        return self.int8_ms + (self.float_ms - self.int8_ms) * part / full

    def boundary_megabytes(self, skipped: Collection[str]) -> float:
        """Size of all tensors that come from a site of the other precision."""
        known = {site.site for site in self.sites}
        outside = {site for site in known if site in skipped}
        total = 0.0
        for site in self.sites:
            for edge in site.inputs:
                crossing = any(
                    (source in outside) != (site.site in outside) for source in edge.sources if source in known
                )
                total += edge.megabytes if crossing else 0.0
        return total

    def gains(self) -> dict[str, float]:
        """How much faster each site is in int8, in ms; negative where int8 does not pay."""
        return {site.site: site.float_ms - site.int8_ms for site in self.sites}


def fitted_boundary(model: SpeedModel, measured: Sequence[tuple[Collection[str], float]]) -> float:
    """Cost of boundaries in ms per MB that fits measured plans best (least squares), at least 0."""
    sizes = [model.boundary_megabytes(skipped) for skipped, _ in measured]
    left = [ms - model.additive(skipped) for skipped, ms in measured]
    square = sum(size * size for size in sizes)
    return max(0.0, sum(size * rest for size, rest in zip(sizes, left, strict=True)) / square) if square else 0.0


def pareto_front(points: Sequence[tuple[Item, float, float]]) -> list[Item]:
    """Items of which no other is both faster and at least as accurate, or as fast and more accurate; fastest first.

    Args:
        points: (item, latency, accuracy).
    """
    best = float("-inf")
    front = []
    for item, _, accuracy in sorted(points, key=lambda point: (point[1], -point[2])):
        if accuracy > best:
            front.append(item)
            best = accuracy
    return front
