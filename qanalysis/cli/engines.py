"""`qanalysis engines`: which engines this machine has, why others are missing, and its int8 features."""

import argparse

from rich.console import Console
from rich.table import Table
from rich.text import Text

from qanalysis.engines.listing import machine
from qanalysis.engines.tensorrt import command


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to the parser."""
    listing = commands.add_parser("engines", help="engines of this machine, and its int8 features")
    listing.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace, console: Console) -> int:
    """Executes the command."""
    found = machine()
    if options.json:
        print(found.model_dump_json(indent=1))
        return 0
    table = Table("engine", "version", "precisions", "what for", box=None)
    for card in found.engines:
        precisions = Text(", ".join(card.precisions)) if card.available else Text("missing", "yellow")
        table.add_row(card.engine, card.version or "-", precisions, card.purpose)
    console.print(table)
    for card in found.engines:
        if not card.available:
            console.print(f"{card.engine}: {card.reason}", highlight=False)
    here = found.features
    console.print(f"CPU: {here.cpu}, {here.cores} cores, {', '.join(here.cpu_features)}", highlight=False)
    console.print(f"int8 : fp32 operations per cycle {here.int8_ratio:.3g} : 1, bf16 {here.bf16_ratio:.3g} : 1")
    for name, capability in here.gpus:
        console.print(f"GPU: {name}, compute capability {capability}, {', '.join(here.gpu_features)}", highlight=False)
    console.print("Elsewhere, TensorRT measures an exported file with:", highlight=False)
    console.print(command("MODEL_int8_fp16.onnx", 8, (3, 224, 224)), highlight=False, soft_wrap=True)
    return 0
