"""What is in the model: its sites, their costs, and what is not covered (section 4)."""

import time
from pathlib import Path

from qanalysis import setup as setups
from qanalysis.analysis.measure.progress import Report, silent
from qanalysis.schema.params.accuracy import DescribeParams
from qanalysis.schema.results.calibration import DescribeResult


def run(params: DescribeParams, report: Report = silent, folder: Path | None = None) -> DescribeResult:
    """Loads the model and reads its sites off one forward pass.

    Raises:
        ValueError: with one sentence, for bad names, files or data.
    """
    start = time.perf_counter()
    setup = setups.load(params)
    return DescribeResult(**setup.cards(), params=params, coverage=setup.coverage, seconds=time.perf_counter() - start)
