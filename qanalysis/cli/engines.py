"""`qanalysis engines`: which engines this machine has, why others are missing, and its int8 features."""

import argparse
import json
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from qanalysis.engines.features import features
from qanalysis.engines.registry import ENGINES
from qanalysis.engines.tensorrt import command


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to the parser."""
    listing = commands.add_parser("engines", help="engines of this machine, and its int8 features")
    listing.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace, console: Console) -> int:
    """Executes the command."""
    rows = [
        {
            "engine": name,
            "available": engine.available() is None,
            "reason": engine.available(),
            "version": engine.version(),
            "precisions": engine.precisions() if engine.available() is None else (),
            "purpose": engine.purpose,
        }
        for name, engine in ENGINES.items()
    ]
    here = features()
    if options.json:
        print(json.dumps({"engines": rows, "features": asdict(here)}, indent=1))
        return 0
    table = Table("engine", "version", "precisions", "what for", box=None)
    for row in rows:
        precisions = ", ".join(row["precisions"]) if row["available"] else "[yellow]missing[/]"  # type: ignore[arg-type]
        table.add_row(str(row["engine"]), str(row["version"]) or "-", precisions, str(row["purpose"]))
    console.print(table)
    for row in rows:
        if not row["available"]:
            console.print(f"{row['engine']}: {row['reason']}", highlight=False)
    console.print(f"CPU: {here.cpu}, {here.cores} cores, {', '.join(here.cpu_features)}", highlight=False)
    console.print(f"int8 : fp32 operations per cycle {here.int8_ratio:.3g} : 1, bf16 {here.bf16_ratio:.3g} : 1")
    for name, capability in here.gpus:
        console.print(f"GPU: {name}, compute capability {capability}, {', '.join(here.gpu_features)}", highlight=False)
    console.print("Elsewhere, TensorRT measures an exported file with:", highlight=False)
    console.print(command("MODEL_int8_fp16.onnx", 8, (3, 224, 224)), highlight=False, soft_wrap=True)
    return 0
