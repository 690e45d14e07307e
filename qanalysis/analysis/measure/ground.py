"""Ground: what every analysis of plans stands on, made in one place: model, data, plan and calibrated ranges."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any

from torch import nn

from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.progress import Report, counted
from qanalysis.nn.fold import fold_batch_norm
from qanalysis.nn.observe import observe
from qanalysis.numerics.calibrate import parse
from qanalysis.schema.errors import UserError
from qanalysis.schema.observations import Observations, RangeTable
from qanalysis.schema.plan import Plan
from qanalysis.schema.site import Coverage
from qanalysis.setup import Setup

#: Name of the file that keeps the histograms of a run.
OBSERVATIONS = "observations.npz"


@dataclass(frozen=True, eq=False)
class Ground:
    """A model that has been calibrated.

    Attributes:
        setup: model, data and task.
        module: the network that was observed: the setup's, or its copy with batch norm folded (Appendix C).
        plan: which sites are quantized, and how.
        observations: histograms of all activations.
        tables: ranges of all activations, by calibration.
    """

    setup: Setup
    module: nn.Module
    plan: Plan
    observations: Observations
    tables: Mapping[str, RangeTable]

    @property
    def ranges(self) -> RangeTable:
        """Ranges of the first calibration, which often is the only one."""
        return next(iter(self.tables.values()))

    @property
    def coverage(self) -> Coverage:
        """The sites, in order of execution."""
        return self.observations.coverage

    def float_sites(self, plan: Plan | None = None) -> dict[str, str]:
        """Sites that stay in floating point under a plan (the ground's own if none is given), and why."""
        return float_sites(plan or self.plan, self.coverage, self.ranges)

    def quantized_sites(self, plan: Plan | None = None) -> tuple[str, ...]:
        """Sites that a plan quantizes, in order of execution."""
        floats = self.float_sites(plan)
        return tuple(site.name for site in self.coverage.sites if site.name not in floats)

    def int8_mac_share(self, plan: Plan | None = None) -> float:
        """Share of multiply-accumulates that run quantized under a plan, in %."""
        quantized = set(self.quantized_sites(plan))
        macs = sum(site.macs for site in self.coverage.sites if site.name in quantized)
        return 100 * macs / max(self.coverage.macs, 1)

    def values(self) -> dict[str, Any]:
        """Its fields, for a value that has more of them."""
        return {field.name: getattr(self, field.name) for field in fields(Ground)}


def calibrated(
    setup: Setup,
    plan: Plan,
    calibrations: tuple[str, ...],
    samples: int,
    report: Report,
    *,
    fold: bool = False,
    checkpoint: Checkpoint | None = None,
) -> Ground:
    """Observes the calibration samples once, and takes ranges from what was seen.

    Args:
        setup: model, data and task.
        plan: says the bits and scheme of each activation.
        calibrations: names of the calibrations, one at least.
        samples: of the calibration split to see at the most.
        report: told of progress.
        fold: whether to fold batch norm first.
        checkpoint: where the histograms are kept, so that a killed run need not count again.

    Raises:
        UserError: with one sentence: no sample can be read, or none reaches a layer.
    """
    module = setup.model.module
    if fold:
        module = fold_batch_norm(module, setup.example(), setup.task.call).model
    path = None if checkpoint is None else checkpoint.file(OBSERVATIONS)
    observations = None
    if path is not None and path.is_file():
        with suppress(UserError):  # not whole: observed again
            observations = Observations.load(path)
    if observations is None:
        observations = _observed(setup, module, samples, report)
        if path is not None:
            observations.save(path)
    report("progress", stage="ranges", done=0, total=len(calibrations))
    tables = {name: observations.ranges(parse(name), plan) for name in calibrations}
    return Ground(setup, module, plan, observations, tables)


def _observed(setup: Setup, module: nn.Module, samples: int, report: Report) -> Observations:
    """Histograms on the calibration split; ranges that came with a trained model ride along."""
    total = min(samples, len(setup.data.calibration))
    inputs = (
        batch for batch, _ in counted(setup.batches(setup.data.calibration, samples), report, "calibration", total)
    )
    seen = observe(module, inputs, call=setup.task.visit)
    trained = setup.model.trained_quantization
    return seen if trained is None else replace(seen, trained=trained.table())


def float_sites(plan: Plan, coverage: Coverage, table: RangeTable) -> dict[str, str]:
    """Sites that stay in floating point, and why."""
    reasons = {site.name: "skipped by the plan" for site in coverage.sites if not plan.quantizes(site.name)}
    for site in table.unranged_sites():
        reasons.setdefault(site, "an operand was zero on all calibration data")
    for reached in coverage.sites if plan.parts != "weights" else ():
        if not all(tensor in table.ranges for tensor in reached.tensors):
            reasons.setdefault(reached.name, "calibration never reached it")
    return reasons


def magnitudes(table: RangeTable) -> dict[str, float | None]:
    """The largest magnitude of each range, by the tensor's key; None for an all-zero tensor."""
    return {str(tensor): None if range_ is None else range_.amax for tensor, range_ in table.ranges.items()}


def unreached_note(sites: Iterable[str]) -> tuple[str, ...]:
    """What to tell of sites that were met in measuring and not in calibration; nothing if there are none."""
    names = sorted(set(sites))
    if not names:
        return ()
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return (
        f"Calibration never reached {names[0]}{more}, so {'they stay' if more else 'it stays'} in floating point: "
        "calibrate on more samples, or on such that take that way through the network.",
    )
