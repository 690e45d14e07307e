"""What calibration and sensitivity cost on the sample segmenter and detector, against plain inference.

Ratios inside one run, on the same images, medians after a warm-up; one thread.

    python benchmarks/scenes.py
"""

import statistics
import time

import torch

import qanalysis
from qanalysis import setup as setups
from qanalysis.nn.observe import observe
from qanalysis.numerics.calibrate import PAPER_CALIBRATIONS, parse
from qanalysis.schema.params.task import TaskParams
from qanalysis.schema.plan import Plan

ROUNDS, IMAGES = 5, 256


def seconds(run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


@torch.no_grad()
def calibration(network: str) -> float:
    """One pass with all six calibrations of the paper over one plain inference."""
    setup = setups.load(TaskParams(model=f"sample:{network}", data="sample:scenes", batch_size=32))
    module, batches = setup.model.module, list(setup.inputs(setup.data.calibration, IMAGES))

    def plain() -> None:
        for batch in batches:
            setup.task.call(module, batch)

    def calibrated() -> None:
        seen = observe(module, batches, call=setup.task.visit)
        for name in PAPER_CALIBRATIONS:
            seen.ranges(parse(name), Plan())

    pairs = [(seconds(plain), seconds(calibrated)) for _ in range(ROUNDS + 1)]
    return statistics.median(one / other for other, one in pairs[1:])


def sensitivity(network: str) -> tuple[int, float]:
    """Sites, and what one of them costs in fp32 evaluations."""
    result = qanalysis.run(
        "sensitivity", model=f"sample:{network}", data="sample:scenes", calibration_samples=16, evaluation_samples=64,
        batch_size=32, proxies=False, most_skipped=0,
    )  # fmt: skip
    return len(result.rows), result.sites_seconds / result.fp32_seconds / len(result.rows)


def main() -> None:
    torch.set_num_threads(1)
    for network in ("segmenter", "detector"):
        sites, each = sensitivity(network)
        print(
            f"{network}: calibration {calibration(network):.2f} x inference; {sites} sites, {each:.2f} evaluations each"
        )


if __name__ == "__main__":
    main()
