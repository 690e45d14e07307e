"""What sensitivity analysis costs, as a share of the naive loop: L sites times one fp32 evaluation.

Plain fp32 inference, before and after, the naive loop (every site quantized in a full forward) and the loop with replay
take turns on the same batches; ratios are medians over rounds, each of times within one round.

    python benchmarks/sensitivity.py --model sample:resnet20 --data sample:cifar10 --samples 128
    python benchmarks/sensitivity.py --model torchvision:resnet50@none --samples 8 --batch-size 8 --rounds 1 --quick
"""

import argparse
import json
import time
from statistics import median

import torch
from observation import inputs

from qanalysis import models
from qanalysis.nn.observe import observe
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.nn.replay import Replay
from qanalysis.numerics.calibrate import Max
from qanalysis.schema.plan import Plan


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sample:resnet20")
    parser.add_argument("--data", help="data by name; random inputs of the model's shape without it")
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="leave out the naive loop")
    args = parser.parse_args()
    loaded = models.load(args.model)
    module = loaded.module.to(memory_format=torch.channels_last)
    batches = inputs(args, loaded)
    seen = observe(module, batches[:1])
    table = seen.ranges(Max())
    sites = [site.name for site in seen.coverage.sites]
    quantized = {site: QuantizedModel(module, Plan().quantizing_only(site), table) for site in sites}
    names = ("fp32", "replay") if args.quick else ("fp32", "naive", "replay")
    times: dict[str, list[float]] = {"fp32": [], "naive": [], "replay": []}
    kept = 0
    for round_ in range(args.rounds + 1):
        seconds = [plain(module, batches)]
        start = time.perf_counter()
        for batch in batches:
            for model in () if args.quick else quantized.values():
                model(batch)
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
        for batch in batches:
            replay = Replay(module)
            replay.record(batch)
            kept = max(kept, replay.kept_bytes)
            for site, model in quantized.items():
                replay.from_site(batch, site, model.compute)
        seconds.append(time.perf_counter() - start)
        seconds[0] = (seconds[0] + plain(module, batches)) / 2
        if round_:  # the first round warms up
            for name, value in zip(times, seconds, strict=True):
                times[name].append(value)
    per_site = {
        name: round(median(t / base / len(sites) for t, base in zip(times[name], times["fp32"], strict=True)), 3)
        for name in names[1:]
    }
    report = {
        "model": args.model,
        "sites": len(sites),
        "samples": sum(len(batch) for batch in batches),
        "batch_size": args.batch_size,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "fp32_evaluations_per_site": per_site,
        "kept_megabytes": round(kept / 2**20, 1),
    }
    print(json.dumps(report, indent=1))


def plain(module: torch.nn.Module, batches: list[torch.Tensor], repeats: int = 5) -> float:
    """Seconds of one fp32 evaluation, the mean of several: everything else is divided by it."""
    start = time.perf_counter()
    for batch in batches * repeats:
        module(batch)
    return (time.perf_counter() - start) / repeats


if __name__ == "__main__":
    main()
