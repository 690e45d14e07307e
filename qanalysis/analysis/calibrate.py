"""Which range each activation gets from each calibration (section 3.4, Fig. 2): one pass over the data for all."""

import time
from pathlib import Path

from qanalysis import setup as setups
from qanalysis.analysis.measure.ground import OBSERVATIONS, calibrated, magnitudes
from qanalysis.analysis.measure.progress import Report, silent
from qanalysis.insight.advice.ranges import of_calibration
from qanalysis.schema.observations import ends
from qanalysis.schema.params.accuracy import CalibrateParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.calibration import CalibrateResult


def run(params: CalibrateParams, report: Report = silent, folder: Path | None = None) -> CalibrateResult:
    """Observes all activations once and calibrates; with a folder, the histograms are kept there.

    Raises:
        ValueError: with one sentence, for bad names, files or data.
    """
    start = time.perf_counter()
    setup = setups.load(params)
    plan = Plan(activation_bits=params.bits, activation_scheme=params.activation_scheme)
    ground = calibrated(setup, plan, params.calibrations, params.calibration_samples, report, fold=params.fold_bn)
    ranges = {name: magnitudes(table) for name, table in ground.tables.items()}
    if folder is not None:
        ground.observations.save(folder / OBSERVATIONS)
    return CalibrateResult(
        **setup.cards(),
        params=params,
        coverage=ground.coverage,
        ranges=ranges,
        bounds={name: ends(table) for name, table in ground.tables.items()},
        samples=ground.observations.samples,
        advice=of_calibration(ground.observations, ranges, params.bits),
        observations=OBSERVATIONS if folder is not None else None,
        seconds=time.perf_counter() - start,
    )
