"""Measures the tables of `docs/results.md` for every sample model: PTQ, weights alone, partial quantization, proxies.

Every result is kept in the folder of runs and read from there the next time, so that a new model or a new table costs
no more than itself.

    python -m benchmarks.tables --runs runs/results --out docs/results.md
"""

import argparse
import datetime
import platform
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

import qanalysis
from benchmarks import sections
from qanalysis.insight.words import calibration_label
from qanalysis.numerics.calibrate import PAPER_CALIBRATIONS
from qanalysis.schema.analyses import ANALYSES
from qanalysis.schema.catalog import sample_models
from qanalysis.schema.digest import digest
from qanalysis.schema.results.accuracy import PtqResult
from qanalysis.schema.results.common import Result
from qanalysis.schema.results.sensitivity import Partial, PartialResult, SensitivityResult
from qanalysis.schema.results.weights import WeightsResult

BITS = (8, 6, 4)
#: Loss that the paper accepts, in % relative to fp32.
TARGET = 1.0
MOST_SKIPPED = 20

INTRODUCTION = """# Results

Measured by `python -m benchmarks.tables`, on {samples:,} test images of the bundled CIFAR-10 subset, calibrated on
{calibration} training images, seed 0. PyTorch {torch}, {machine}, {threads} threads, {date}. Accuracies are
top-1 in %; a standard error is about {error:.1f} points, but all rows of a model are measured on the same images, so
differences between rows are known better than that: bold is the best row, and "change" is the 95 % interval of its
paired difference from fp32.

## Post-training quantization (the paper's Tables 4 and 5)

Weights per channel with max calibration, activations per tensor, all sites quantized.
"""
WEIGHTS = """
## Weights alone (the paper's Table 3)

Max calibration; activations stay in floating point; batch norm as trained, and folded into the layer before it.
"""
PARTIAL = """
## Partial quantization (the paper's Table 6)

Where the best calibration loses more than {target:g} % relative: sites are ordered by the divergence that each alone
causes (`qanalysis sensitivity`), and left in floating point one after the other until the loss is within {target:g} %;
on the first {per_site:,} of the test images, so fp32 differs a little from the tables above.
The last column is the share of multiply-accumulates that still runs in integers. Nothing has to be skipped for
{easy}.

"""
PROXIES = """
## Do cheap scores find the same layers?

Spearman's rank correlation of each score with the measured divergence of the logits, over all sites of a model; 1 would
be the same order. `output-sqnr` is the noise at a site's own output, `weight-mse` the relative rounding error of its
weight, `fisher` the second-order estimate ½ E[(gᵀΔy)²] from gradients.

"""
GREEDY = """
## Is the simple order the best?

Greedy search ranks again after every skip, among the five most sensitive sites that are left. It was run for the two
networks that are quickest to measure.

"""


class Runs:
    """Results by what was asked for, kept in a folder."""

    def __init__(self, folder: Path, samples: int, per_site: int, calibration: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._shared = {"evaluation_samples": samples, "batch_size": 100}
        self._per_site = per_site
        self._calibration = calibration

    def result(self, analysis: str, name: str, **params: Any) -> Any:
        """A result that was kept, or that is made now."""
        given: dict[str, Any] = {"model": f"sample:{name}", **self._shared, **params}
        if analysis != "weights":
            given["calibration_samples"] = self._calibration
        identity = digest(analysis, ANALYSES[analysis].params(**given))
        path = self._folder / f"{identity}.json"
        if path.exists():
            return ANALYSES[analysis].result.load(path)
        print(analysis, name, params, flush=True)
        checkpoint = self._folder / identity  # a run that is stopped goes on from here
        checkpoint.mkdir(exist_ok=True)
        found: Result = qanalysis.run(analysis, folder=checkpoint, **given)
        found.save(path)
        shutil.rmtree(checkpoint)
        return found

    def ptq(self, name: str, bits: int) -> PtqResult:
        """The PTQ grid."""
        found = self.result("ptq", name, bits=bits)
        assert isinstance(found, PtqResult)
        return found

    def weights(self, name: str, bits: int) -> WeightsResult:
        """The weight-only study."""
        found = self.result("weights", name, bits=bits)
        assert isinstance(found, WeightsResult)
        return found

    def sensitivity(self, name: str, bits: int) -> SensitivityResult:
        """Sensitivity with the best calibration of the PTQ grid."""
        best = self.ptq(name, bits).best
        limits = {"target": TARGET, "most_skipped": MOST_SKIPPED, "evaluation_samples": self._per_site}
        found = self.result("sensitivity", name, bits=bits, calibration=best, **limits)
        assert isinstance(found, SensitivityResult)
        return found

    def greedy(self, name: str, bits: int) -> Partial:
        """Greedy search from the measured order."""
        measured = self.sensitivity(name, bits)
        found = self.result(
            "partial",
            name,
            bits=bits,
            calibration=measured.params.calibration,
            search="greedy",
            order=tuple(row.site for row in measured.rows),
            target=TARGET,
            most_skipped=MOST_SKIPPED,
            evaluation_samples=self._per_site,
        )
        assert isinstance(found, PartialResult)
        return found.partial


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/results"))
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--per-site", type=int, default=500, help="samples for sensitivity, which runs every site")
    parser.add_argument("--calibration", type=int, default=512)
    parser.add_argument("--models", nargs="*", default=list(sample_models()))
    parser.add_argument("--greedy", nargs="*", default=["resnet20", "mobilenet_v2"], help="models to search greedily")
    args = parser.parse_args()
    runs = Runs(args.runs, args.samples, args.per_site, args.calibration)
    text = INTRODUCTION.format(
        samples=args.samples,
        calibration=args.calibration,
        torch=torch.__version__,
        machine=f"{platform.machine()} CPU with {torch.backends.cpu.get_cpu_capability()}",
        threads=torch.get_num_threads(),
        date=datetime.date.today().isoformat(),
        error=runs.ptq(args.models[0], 8).fp32_score.standard_error,
    )
    for bits in BITS:
        text += f"\n### {bits} bits\n\n" + ptq_table({name: runs.ptq(name, bits) for name in args.models})
    text += WEIGHTS
    for bits in (8, 4):
        text += f"\n### {bits} bits\n\n" + weights_table({name: runs.weights(name, bits) for name in args.models})
    hard = [(name, bits) for bits in BITS for name in args.models if _loss(runs.ptq(name, bits)) > TARGET]
    easy = [(name, bits) for bits in BITS for name in args.models if (name, bits) not in hard]
    studies = {case: runs.sensitivity(*case) for case in hard}
    named = ", ".join(f"{name} at {bits} bits" for name, bits in easy)
    text += PARTIAL.format(target=TARGET, easy=named, per_site=args.per_site)
    text += partial_table(studies)
    searched = [case for case in hard if case[0] in args.greedy]
    text += GREEDY + greedy_table({case: (studies[case].partial, runs.greedy(*case)) for case in searched})
    text += PROXIES + proxy_table(studies)
    sections.write(args.out, "post-training quantization", text)


def markdown(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table."""
    heads = list(headings)
    lines = [heads, ["---"] * len(heads), *(list(row) for row in rows)]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def ptq_table(grid: dict[str, PtqResult]) -> str:
    """Models down, calibrations across."""
    rows = []
    for name, result in grid.items():
        marks = ["**" if row.calibration == result.best else "" for row in result.rows]
        cells = [f"{mark}{row.accuracy:.2f}{mark}" for mark, row in zip(marks, result.rows, strict=True)]
        best = next(row for row in result.rows if row.calibration == result.best)
        low, high = best.change_interval
        rows.append([name, f"{result.fp32:.2f}", *cells, f"{best.relative:+.2f} %", f"{low:+.2f} to {high:+.2f}"])
    labels = [calibration_label(name) for name in PAPER_CALIBRATIONS]
    return markdown(["model", "fp32", *labels, "best, relative", "change, points"], rows)


def weights_table(studies: dict[str, WeightsResult]) -> str:
    """Models down, granularity and folding across, as in Table 3."""
    columns = [("per-channel", False), ("per-channel", True), ("per-tensor", False), ("per-tensor", True)]
    headings = [granularity + (", folded" if folded else "") for granularity, folded in columns]
    rows = []
    for name, result in studies.items():
        found = {(row.granularity, row.folded): f"{row.accuracy:.2f}" for row in result.rows}
        rows.append([name, f"{result.fp32:.2f}", *(found.get(column, "no batch norm") for column in columns)])
    return markdown(["model", "fp32", *headings], rows)


def partial_table(studies: dict[tuple[str, int], SensitivityResult]) -> str:
    """One row per model and bits, as in Table 6, and which sites were skipped."""
    rows, names = [], []
    for (name, bits), result in studies.items():
        assert result.partial is not None
        chosen = result.partial.chosen
        step = result.partial.steps[-1 if chosen is None else chosen]
        loss = 100 * (result.quantized - result.fp32) / result.fp32
        rows.append(
            [
                f"{name}, {bits} bits",
                calibration_label(result.params.calibration),
                f"{result.fp32:.2f}",
                f"{result.quantized:.2f} ({loss:+.2f} %)",
                str(len(result.rows)),
                str(chosen) if chosen is not None else f"over {len(step.skipped)}",
                f"{step.accuracy:.2f} ({step.relative:+.2f} %)",
                f"{step.change_interval[0]:+.2f} to {step.change_interval[1]:+.2f}",
                f"{step.int8_mac_share:.1f} %",
            ]
        )
        names.append(f"- {name}, {bits} bits: {', '.join(f'`{site}`' for site in step.skipped)}\n")
    headings = [
        *("model", "calibration", "fp32", "all quantized", "quantized layers", "skipped"),
        *("accuracy", "change, points", "work in integers"),
    ]
    return markdown(headings, rows) + "\nSkipped, the most sensitive first:\n\n" + "".join(names)


def greedy_table(searches: dict[tuple[str, int], tuple[Partial | None, Partial]]) -> str:
    """Layers skipped and plans measured by both searches."""
    rows = []
    for (name, bits), (order, greedy) in searches.items():
        assert order is not None
        rows.append([f"{name}, {bits} bits", *_search(order), *_search(greedy)])
    heads = ["skipped, in order", "relative", "plans measured", "skipped, greedy", "relative", "plans measured"]
    return markdown(["model", *heads], rows)


def _search(found: Partial) -> list[str]:
    step = found.steps[-1 if found.chosen is None else found.chosen]
    skipped = f"over {len(step.skipped)}" if found.chosen is None else str(found.chosen)
    return [skipped, f"{step.relative:+.2f} %", str(found.evaluations)]


def proxy_table(studies: dict[tuple[str, int], SensitivityResult]) -> str:
    """Rank correlation of every proxy."""
    rows = []
    for (name, bits), result in studies.items():
        found = {proxy.name: proxy.correlation_divergence for proxy in result.proxies}
        cells = ["-" if value is None else f"{value:.2f}" for value in found.values()]
        rows.append([f"{name}, {bits} bits", *cells])
    return markdown(["model", "output-sqnr", "weight-mse", "fisher"], rows)


def _loss(result: PtqResult) -> float:
    return -next(row.relative for row in result.rows if row.calibration == result.best)


if __name__ == "__main__":
    main()
