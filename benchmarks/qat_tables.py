"""Measures the fine-tuning tables of `docs/results.md`: QAT at 8 bits, and fixed and learned ranges at 4 (Table 8).

Every run is kept in the folder of runs and read from there the next time; one that was stopped goes on.

    python -m benchmarks.qat_tables --runs runs/qat --out docs/results.md
    python -m benchmarks.qat_tables --runs runs/qat --models vit --measure-only
"""

import argparse
import datetime
import platform
import shutil
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

import qanalysis
from benchmarks import sections
from benchmarks.tables import markdown
from qanalysis.insight.words import calibration_label
from qanalysis.schema.catalog import sample_models
from qanalysis.schema.digest import digest
from qanalysis.schema.params.qat import QatParams
from qanalysis.schema.results.qat import QatResult, kept
from qanalysis.schema.results.sensitivity import Change

#: Seeds of the runs at 4 bits, by model; one where nothing else is said.
SEEDS = {"resnet20": (0, 1, 2), "mobilenet_v2": (0, 1), "efficientnet": (0, 1), "vit": (0, 1)}
#: The four corners of the paper's Table 8.
CORNERS = (("max", "fixed"), ("max", "learned"), ("best", "fixed"), ("best", "learned"))
#: Initial learning rates at 4 bits: 10 % of the original training's, ten times the paper's.
LOW_BIT_RATE = {"resnet20": 0.01, "mobilenet_v2": 0.01, "efficientnet": 0.01, "vit": 1.5e-4}
EPOCHS = {8: 1, 4: 3}

INTRODUCTION = """## Quantization-aware training

Measured by `python -m benchmarks.qat_tables`: fine-tuned on the 8,000 bundled training images, batch 128, cosine to 1 %
of the initial learning rate, batch norm trained; accuracies on the {samples:,} bundled test images, which take no part
in choosing the epoch. PyTorch {torch}, {machine}, {date}. "Control" is the same fine-tune in
floating point: what it gains comes from more training, not from quantization.

### 8 bits, the paper's learning rate (Table 7)

{epochs8} epoch, initial learning rate 1 % of the original training's, fixed ranges from the best calibration.

"""
LOW = """
### 4 bits, fixed and learned ranges (Table 8)

{epochs4} epochs, initial learning rate 10 % of the original training's (1 % recovers less at 4 bits), learned ranges
with learning rate {rate:g} and weight decay {decay:g}. Mean ± standard deviation (number of seeds), or one
seed.

"""


class Runs:
    """Results by what was asked for, kept in a folder."""

    def __init__(self, folder: Path, samples: int, kept_only: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._samples, self._kept_only = folder, samples, kept_only

    def result(self, **params: Any) -> QatResult | None:
        """A result that was kept, or that is made now; None if it was not and nothing is to be made."""
        given = QatParams(**params, evaluation_samples=self._samples)
        identity = digest("qat", given)
        path = self._folder / f"{identity}.json"
        if path.exists():
            return QatResult.load(path)
        if self._kept_only:
            return None
        print(datetime.datetime.now().strftime("%H:%M:%S"), params, flush=True)
        working = self._folder / identity  # a run that is stopped goes on from here
        working.mkdir(exist_ok=True)
        found = qanalysis.run("qat", folder=working, **given.model_dump())
        assert isinstance(found, QatResult)
        found.save(path)
        print(f"{found.fp32.accuracy:.2f} {found.ptq.accuracy:.2f} -> {found.qat.accuracy:.2f}", flush=True)
        shutil.rmtree(working)
        return found

    def eight(self, name: str) -> QatResult | None:
        """The paper's recipe, shortened, with its control."""
        return self.result(model=f"sample:{name}", epochs=EPOCHS[8])

    def four(self, name: str, calibration: str, ranges: str, seed: int) -> QatResult | None:
        """One corner of Table 8; the control goes with one of them."""
        return self.result(
            model=f"sample:{name}",
            bits=4,
            epochs=EPOCHS[4],
            learning_rate=LOW_BIT_RATE[name],
            calibration=calibration,
            ranges=ranges,
            seed=seed,
            control=(calibration, ranges, seed) == ("best", "fixed", 0),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/qat"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--models", nargs="*", default=list(sample_models()))
    parser.add_argument("--measure-only", action="store_true", help="write no table")
    parser.add_argument("--kept-only", action="store_true", help="make the tables of the runs that there are")
    args = parser.parse_args()
    runs = Runs(args.runs, args.samples, args.kept_only)
    for name in args.models:
        for calibration, ranges in CORNERS[2:] + CORNERS[:2]:
            runs.four(name, calibration, ranges, 0)
        runs.eight(name)
    for name in args.models:
        for seed in SEEDS.get(name, (0,)):
            for calibration, ranges in CORNERS:
                runs.four(name, calibration, ranges, seed)
    if args.measure_only:
        return
    defaults = QatParams()
    text = INTRODUCTION.format(
        samples=args.samples,
        torch=torch.__version__,
        machine=f"{platform.machine()} CPU with {torch.backends.cpu.get_cpu_capability()}",
        date=datetime.date.today().isoformat(),
        epochs8=EPOCHS[8],
    )
    text += eight_table({name: runs.eight(name) for name in args.models})
    text += LOW.format(epochs4=EPOCHS[4], rate=defaults.range_learning_rate, decay=defaults.range_weight_decay)
    text += four_table(runs, args.models)
    sections.write(args.out, "quantization-aware training", text)


def eight_table(results: dict[str, QatResult | None]) -> str:
    """Table 7: PTQ, QAT and control of every model."""
    rows = []
    for name, result in results.items():
        if result is None:
            rows.append([name, *["not measured"] * 4])
            continue
        control = result.fp32_control
        rows.append(
            [
                name,
                f"{result.fp32.accuracy:.2f}",
                f"{_cell(result.ptq)} ({calibration_label(result.calibration)})",
                _cell(result.qat),
                "" if control is None else _cell(control),
            ]
        )
    return markdown(["model", "fp32", "PTQ, best", "QAT", "control"], rows)


def four_table(runs: Runs, models: list[str]) -> str:
    """Table 8: the four corners of every model."""
    rows = []
    for name in models:
        seeds = SEEDS.get(name, (0,))
        corners = {}
        for corner in CORNERS:
            found = [runs.four(name, *corner, seed) for seed in seeds]
            corners[corner] = [one for one in found if one is not None]
        known = {corner: results[0] for corner, results in corners.items() if results}
        cells = {corner: _spread([_kept(one) for one in results]) for corner, results in corners.items()}
        any_, best, at_max = (
            next((known[corner] for corner in places if corner in known), None)
            for places in (CORNERS, CORNERS[2:], CORNERS[:2])
        )
        control = best.fp32_control if best is not None else None
        rows.append(
            [
                name,
                "" if any_ is None else f"{any_.fp32.accuracy:.2f}",
                "" if at_max is None else f"{at_max.ptq.accuracy:.2f}",
                cells["max", "fixed"],
                cells["max", "learned"],
                "" if best is None else f"{best.ptq.accuracy:.2f} ({calibration_label(best.calibration)})",
                cells["best", "fixed"],
                cells["best", "learned"],
                "" if control is None else f"{control.accuracy:.2f}",
            ]
        )
    headings = ["model", "fp32", "PTQ max", "fixed max", "learned max", "PTQ best", "fixed best", "learned best"]
    return markdown([*headings, "control"], rows)


def _cell(change: Change) -> str:
    return f"{change.accuracy:.2f} ({change.relative:+.2f} %)"


def _kept(result: QatResult) -> float:
    """Accuracy of the epoch that is kept, also for runs made under an earlier rule."""
    return result.epochs[kept(result.epochs)].accuracy


def _spread(values: list[float]) -> str:
    if not values:
        return "not measured"
    return f"{values[0]:.2f}" if len(values) == 1 else f"{fmean(values):.2f} ± {stdev(values):.2f} ({len(values)})"


if __name__ == "__main__":
    main()
