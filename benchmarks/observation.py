"""What one-pass calibration costs over plain inference of the same images, and where the time goes.

Plain inference, maxima only, the full observation pass, and observation with the ranges of six calibrations run in
turn, several rounds; the ratios are medians over rounds, each of times within one round.

    python benchmarks/observation.py --model sample:resnet20 --data sample:cifar10 --samples 512
    python benchmarks/observation.py --model torchvision:resnet50@none --samples 32 --batch-size 8
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from statistics import median

import torch

from qanalysis import models
from qanalysis.kernels import counting
from qanalysis.nn import observe as observation
from qanalysis.nn.sites import Call, SiteMode
from qanalysis.numerics import calibrate
from qanalysis.numerics.calibrate import PAPER_CALIBRATIONS, parse
from qanalysis.schema.plan import Plan


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sample:resnet20")
    parser.add_argument("--data", help="data by name; random inputs of the model's shape without it")
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--counter", choices=("compiled", "pytorch"), help="default: compiled where it is")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.counter == "pytorch":
        counting.compiled_count = no_compiled_count
    counter = "pytorch" if counting.compiled_count() is None else "compiled"
    if args.counter not in (None, counter):
        parser.error("qanalysis/kernels/_counting.c is not compiled here: install a C compiler, then the package again")
    loaded = models.load(args.model)
    module = loaded.module.to(memory_format=torch.channels_last)
    batches = inputs(args, loaded)

    def plain() -> None:
        for batch in batches:
            module(batch)

    def sites_only() -> None:
        with SiteMode(module, Call.compute) as mode:
            for batch in batches:
                mode.reset()
                module(batch)

    def maxima() -> None:
        def handler(call: Call) -> torch.Tensor:
            for role, tensor in call.operands.items():
                if role != "weight":
                    torch.aminmax(observation.flat(tensor))
            return call.compute()

        with SiteMode(module, handler) as mode:
            for batch in batches:
                mode.reset()
                module(batch)

    def histograms() -> None:
        observation.observe(module, batches)

    def everything() -> None:
        seen = observation.observe(module, batches)
        calibrate._kl_divergence_curve.cache_clear()  # it is kept for the pages; a first calibration has to search
        for name in PAPER_CALIBRATIONS:
            seen.ranges(parse(name), Plan())

    cases: dict[str, Callable[[], None]] = {
        "plain inference": plain,
        "sites seen, nothing done": sites_only,
        "maxima only": maxima,
        "histograms": histograms,
        "histograms and all ranges": everything,
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for round_ in range(args.rounds + 1):
        for name, case in cases.items():
            start = time.perf_counter()
            case()
            if round_:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    report = {
        "model": args.model,
        "samples": sum(len(batch) for batch in batches),
        "batch_size": args.batch_size,
        "threads": args.threads,
        "counter": counter,
        "torch": torch.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
        "milliseconds": {name: round(1e3 * median(values), 1) for name, values in times.items()},
        "ratio": {
            name: round(median(t / base for t, base in zip(values, times["plain inference"], strict=True)), 3)
            for name, values in times.items()
        },
    }
    print(json.dumps(report, indent=1))


def no_compiled_count() -> None:
    """Stands for an installation without the compiled counter."""


def inputs(args: argparse.Namespace, loaded: models.LoadedModel) -> list[torch.Tensor]:
    """Batches of real inputs, or of random ones."""
    if args.data:
        from qanalysis import data

        split = data.load(args.data, loaded).calibration
        return [batch for batch, _ in split.batches(args.batch_size, args.samples)]
    torch.manual_seed(0)
    shape = loaded.input_shape or (3, 224, 224)
    count = max(1, args.samples // args.batch_size)
    return [torch.randn(args.batch_size, *shape).to(memory_format=torch.channels_last) for _ in range(count)]


if __name__ == "__main__":
    main()
