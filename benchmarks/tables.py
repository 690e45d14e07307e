"""Measures the tables of `docs/results.md`: PTQ at 8, 6 and 4 bits and the weight-only study, for every sample model.

python benchmarks/tables.py --out docs/results.md
"""

import argparse
import datetime
import platform
from pathlib import Path

import torch

import qanalysis
from qanalysis.figures.theme import calibration_label
from qanalysis.numerics.calibrate import PAPER_CALIBRATIONS
from qanalysis.schema.catalog import sample_models
from qanalysis.schema.results import PtqResult, WeightsResult

INTRODUCTION = """# Results

Measured by `python benchmarks/tables.py --samples {samples}`, on {samples:,} test images of the bundled
CIFAR-10 subset, calibrated on {calibration} training images, seed 0. PyTorch {torch}, {machine}, {threads}
threads, {date}. Accuracies are top-1 in %; a standard error is about {error:.1f} points, but all rows of a
model are measured on the same images, so differences between rows are known better than that: bold is the
best row, and "change" is the 95 % interval of its paired difference from fp32.

## Post-training quantization (the paper's Tables 4 and 5)

Weights per channel with max calibration, activations per tensor, all sites quantized.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--calibration", type=int, default=512)
    parser.add_argument("--models", nargs="*", default=list(sample_models()))
    args = parser.parse_args()
    counts = {"evaluation_samples": args.samples, "batch_size": 100}
    grids = {bits: {name: _ptq(name, bits, args.calibration, counts) for name in args.models} for bits in (8, 6, 4)}
    text = INTRODUCTION.format(
        samples=args.samples,
        calibration=args.calibration,
        torch=torch.__version__,
        machine=f"{platform.machine()} CPU with {torch.backends.cpu.get_cpu_capability()}",
        threads=torch.get_num_threads(),
        date=datetime.date.today().isoformat(),
        error=next(iter(grids[8].values())).fp32_score.standard_error,
    )
    for bits, grid in grids.items():
        text += f"\n### {bits} bits\n\n" + ptq_table(grid)
    text += (
        "\n## Weights alone (the paper's Table 3)\n\nMax calibration; activations stay in floating point; "
        "batch norm as trained, and folded into the layer before it.\n"
    )
    for bits in (8, 4):
        studies = {name: _weights(name, bits, counts) for name in args.models}
        text += f"\n### {bits} bits\n\n" + weights_table(studies)
    args.out.write_text(text)


def ptq_table(grid: dict[str, PtqResult]) -> str:
    """Models down, calibrations across."""
    labels = [calibration_label(name) for name in PAPER_CALIBRATIONS]
    lines = ["| model | fp32 | " + " | ".join(labels) + " | best, relative | change, points |"]
    lines.append("|---" * (len(labels) + 4) + "|")
    for name, result in grid.items():
        marks = ["**" if row.calibration == result.best else "" for row in result.rows]
        cells = [f"{mark}{row.accuracy:.2f}{mark}" for mark, row in zip(marks, result.rows, strict=True)]
        best = next(row for row in result.rows if row.calibration == result.best)
        low, high = best.difference_interval
        end = f"{best.relative:+.2f} % | {low:+.2f} to {high:+.2f}"
        lines.append(f"| {name} | {result.fp32:.2f} | " + " | ".join(cells) + f" | {end} |")
    return "\n".join(lines) + "\n"


def weights_table(studies: dict[str, WeightsResult]) -> str:
    """Models down, granularity and folding across, as in Table 3."""
    columns = [("per-channel", False), ("per-channel", True), ("per-tensor", False), ("per-tensor", True)]
    headings = [granularity + (", folded" if folded else "") for granularity, folded in columns]
    lines = ["| model | fp32 | " + " | ".join(headings) + " |", "|---" * (len(columns) + 2) + "|"]
    for name, result in studies.items():
        rows = {(row.granularity, row.folded): f"{row.accuracy:.2f}" for row in result.rows}
        cells = [rows.get(column, "no batch norm") for column in columns]
        lines.append(f"| {name} | {result.fp32:.2f} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _ptq(name: str, bits: int, calibration: int, counts: dict[str, int]) -> PtqResult:
    result = qanalysis.run("ptq", model=f"sample:{name}", bits=bits, calibration_samples=calibration, **counts)
    assert isinstance(result, PtqResult)
    print(name, bits, [(row.calibration, row.accuracy) for row in result.rows], flush=True)
    return result


def _weights(name: str, bits: int, counts: dict[str, int]) -> WeightsResult:
    result = qanalysis.run("weights", model=f"sample:{name}", bits=bits, **counts)
    assert isinstance(result, WeightsResult)
    print(name, bits, [(row.granularity, row.folded, row.accuracy) for row in result.rows], flush=True)
    return result


if __name__ == "__main__":
    main()
