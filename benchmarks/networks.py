"""What works on the 15 vision networks of the paper (Table 2): `docs/networks.md`, one line a network.

Each network is built with random weights at its real input size, and runs in a process of its own: its sites are
counted, it is calibrated, quantized, its sites are ranked, it is trained for one step, written to a file that is held
against the simulation site by site, and run by an engine. What fails is written down with its sentence.

    python benchmarks/networks.py --out networks.json --table docs/networks.md
    python benchmarks/networks.py --side 64 --only "ResNet50,FCN"      # small, as the tests run it
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision.models as zoo
from torch import nn

import qanalysis
from qanalysis.schema.errors import UserError, sentence

STAGES = ("sites", "calibration", "PTQ", "sensitivity", "QAT step", "export", "engine")
#: Beside sizes that are smaller than a network's own.
MARK = "↓"
#: Seconds after which a network is given up.
PATIENCE = 3600


@dataclass(frozen=True)
class Network:
    """One row of the paper's Table 2.

    Attributes:
        model: its name here.
        task: what it is for.
        side: of its images.
        sites: as the paper counts them in Table 6 (the figure in brackets of "fully quantized"), where it does.
    """

    model: str
    task: str
    side: int
    sites: int | None = None


#: Counts: Wu et al. 2020, Table 6 and Appendix; those of detection and segmentation the paper gives without a rule.
NETWORKS: dict[str, Network] = {
    "MobileNet v1": Network("timm:mobilenetv1_100@none", "classification", 224, 28),
    "MobileNet v2": Network("torchvision:mobilenet_v2@none", "classification", 224, 53),
    "ResNet50 v1.5": Network("torchvision:resnet50@none", "classification", 224, 54),
    "ResNet152 v1.5": Network("torchvision:resnet152@none", "classification", 224, 156),
    "Inception v3": Network("torchvision:inception_v3@none", "classification", 299, 95),
    "Inception v4": Network("timm:inception_v4@none", "classification", 299, 150),
    "ResNeXt50": Network("torchvision:resnext50_32x4d@none", "classification", 224, 54),
    "ResNeXt101": Network("torchvision:resnext101_32x8d@none", "classification", 224, 105),
    "EfficientNet b0": Network("torchvision:efficientnet_b0@none", "classification", 224, 82),
    "EfficientNet b3": Network("torchvision:efficientnet_b3@none", "classification", 300, 131),
    "Faster R-CNN": Network("torchvision:fasterrcnn_resnet50_fpn@none", "detection", 800),
    "Mask R-CNN": Network("torchvision:maskrcnn_resnet50_fpn@none", "detection", 800),
    "RetinaNet": Network("torchvision:retinanet_resnet50_fpn@none", "detection", 800),
    "FCN": Network("torchvision:fcn_resnet101@none", "segmentation", 520),
    "DeepLab v3": Network("torchvision:deeplabv3_resnet101@none", "segmentation", 520),
}


class Noise(torch.utils.data.Dataset):
    """Random images with targets of a task."""

    def __init__(self, task: str, side: int, count: int) -> None:
        self.task, self.side, self.count = task, side, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, position: int):
        generator = torch.Generator().manual_seed(position)
        image = torch.rand(3, self.side, self.side, generator=generator)
        if self.task == "classification":
            return image, position % 10
        if self.task == "segmentation":
            return image, torch.randint(0, 21, (self.side, self.side), generator=generator)
        edge = self.side / 2
        target = {"boxes": torch.tensor([[edge / 4, edge / 4, edge, edge]]), "labels": torch.tensor([1])}
        target["masks"] = torch.ones(1, self.side, self.side, dtype=torch.uint8)
        return image, target


def examine(name: str, side: int | None) -> dict:
    """All stages of one network: what each gave, in a few words."""
    network = NETWORKS[name]
    side = side or network.side
    data = tuple(Noise(network.task, side, count) for count in (1, 1, 2))  # training: batch norm takes two at least
    model: str | nn.Module = network.model
    if network.task == "detection" and side != network.side:  # else they would enlarge their images again
        kind = network.model.partition(":")[2].partition("@")[0]
        model = zoo.get_model(kind, weights=None, weights_backbone=None, min_size=side, max_size=side).eval()
    given = {"model": model, "data": data, "task": network.task, "batch_size": 1}
    found: dict = {"name": name, "model": network.model, "side": side, "paper": network.sites, "seconds": {}}

    def stage(label: str, run) -> None:
        start = time.perf_counter()
        try:
            found[label] = run()
        except UserError as error:
            found[label] = f"no: {sentence(error)}"
        found["seconds"][label] = round(time.perf_counter() - start, 1)

    few = {"calibration_samples": 1, "evaluation_samples": 1}
    plan = {**given, **few}

    def sites() -> str:
        result = qanalysis.run("describe", **given)
        found["macs"] = result.coverage.macs
        return str(len(result.coverage.sites))

    def calibration() -> str:
        result = qanalysis.run("calibrate", **given, calibration_samples=1)
        return f"{len(result.ranges['max'])} ranges"

    def export() -> str:
        result = qanalysis.run("export", **plan, output="build/networks")
        worst = max(max(site.before, site.output) for site in result.verification.sites)
        for file in result.files:
            Path(result.folder, file.name).unlink()
        return f"{len(result.quantized_sites)} sites, {worst:.0e}"

    def engine() -> str:
        result = qanalysis.run(
            "benchmark",
            **plan,
            engines=("openvino",),
            precisions=("fp32", "int8"),
            batches=(1,),
            seconds=2.0,
            rounds=2,
            gemm=False,
            layers=False,
            predict=False,
        )
        row = next(row for row in result.rows if row.precision == "int8")
        same = next(row for row in result.agreement if row.precision == "int8")
        return f"{row.int8_sites} in int8, {row.speedup:.1f} ×, {same.agreement:.0f} % same"

    stage("sites", sites)
    stage("calibration", calibration)
    stage("PTQ", lambda: f"SQNR {qanalysis.run('ptq', **plan, calibrations=('max',)).rows[0].sqnr:.0f} dB")
    quick = {"most_skipped": 1, "proxies": False}
    stage("sensitivity", lambda: f"{len(qanalysis.run('sensitivity', **plan, **quick).rows)} ranked")
    one = {"calibration": "max", "steps": 1, "train_samples": 2, "train_batch_size": 2, "control": False}
    stage("QAT step", lambda: f"loss {qanalysis.run('qat', **plan, **one).run.steps[-1].loss:.3g}")
    stage("export", export)
    stage("engine", engine)
    return found


def table(rows: list[dict]) -> str:
    """`docs/networks.md`."""
    head = ["network", "name here", "input", "sites (paper)", *STAGES[1:]]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        paper = "–" if row.get("paper") is None else str(row["paper"])
        small = MARK * (row["side"] < NETWORKS[row["name"]].side)
        cells = [row["name"], f"`{row['model']}`", f"{row['side']}²{small}", f"{row.get('sites', '–')} ({paper})"]
        lines.append("| " + " | ".join([*cells, *(str(row.get(stage, "not reached")) for stage in STAGES[1:])]) + " |")
    return f"""# The paper's vision networks

Written by `benchmarks/networks.py` with torchvision's and timm's architectures. **Random weights**: nothing here says
how accurate a network is, only that every analysis runs on it, on a random image of the size in the column *input*
(`{MARK}` marks sizes below the network's own: `--side` was given, for want of time).

{chr(10).join(lines)}

- *sites (paper)*: layers and products that are quantized, and as many as the paper has (Table 6) where it says.
- *calibration*: activations with a range. *PTQ*: power of the fp32 outputs over that of their change, 8 bits, max.
- *sensitivity*: sites that were quantized alone and ranked. *QAT step*: training loss of one step.
- *export*: sites in int8 in the file, and the largest relative difference of any site from the simulation. Of detectors
  with two stages the second is not in the file: which boxes it looks at depends on the values.
- *engine*: sites that OpenVINO executed in int8, how much faster than in fp32 it was, and the answers that are the
  simulation's (with random weights, whose answers are close to ties, few need be).
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names, comma-separated")
    parser.add_argument("--side", type=int, default=None, help="of the images, in place of the real one")
    parser.add_argument("--out", type=Path, default=Path("networks.json"))
    parser.add_argument("--table", type=Path, default=None)
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(examine(args.one, args.side)))
        return
    chosen = [name.strip() for name in args.only.split(",") if name.strip()] or list(NETWORKS)
    rows = json.loads(args.out.read_text()) if args.out.exists() else []
    for name in chosen:
        if any(row["name"] == name for row in rows):
            continue
        side = [] if args.side is None else ["--side", str(args.side)]
        command = [sys.executable, __file__, "--one", name, *side]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
            last = (done.stderr.splitlines() or [""])[-1]
            row = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"error": last[:200]}
            row.setdefault("exit", done.returncode)
        except subprocess.TimeoutExpired as error:
            row = {"error": str(error)[:200]}
        if "error" in row:
            row |= {"name": name, "model": NETWORKS[name].model, "side": args.side or NETWORKS[name].side}
            row |= {"paper": NETWORKS[name].sites, "seconds": {}}
        rows.append(row)
        args.out.write_text(json.dumps(rows, indent=1) + "\n")
        print(json.dumps(row), flush=True)
    for name in NETWORKS if args.table is not None and not args.only else ():
        if not any(row["name"] == name for row in rows):
            rows.append({"name": name, "model": NETWORKS[name].model, "side": NETWORKS[name].side})
    if args.table is not None:
        args.table.write_text(table(sorted(rows, key=lambda row: list(NETWORKS).index(row["name"]))))


if __name__ == "__main__":
    main()
