"""What it costs to see the products of recurrent layers, which PyTorch computes in one call.

A network of recurrent layers runs as PyTorch runs it, written out with nothing done at its sites, observed, quantized,
and as one training step in floating point and quantized, in turn, several rounds; the ratios are medians over rounds,
each of times within one round.

    python benchmarks/recurrent.py --kind LSTM --threads 1
    python benchmarks/recurrent.py --kind GRU --width 64 --batch-size 1
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn

from qanalysis.nn.observe import observe
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.nn.sites import Call, SiteMode
from qanalysis.numerics.calibrate import Max
from qanalysis.schema.plan import Plan

KINDS: dict[str, type[nn.RNNBase]] = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=KINDS, default="LSTM")
    parser.add_argument("--width", type=int, default=256, help="of inputs and of the hidden state")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--batches", type=int, default=4, help="observed; in the first, operators are counted, too")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = KINDS[args.kind](args.width, args.width, args.layers, batch_first=True).eval()
    batch = torch.randn(args.batch_size, args.steps, args.width)
    quantized = QuantizedModel(model, Plan(), observe(model, [batch]).ranges(Max()))

    def plain() -> None:
        with torch.no_grad():
            for _ in range(args.batches):
                model(batch)

    def written_out() -> None:
        with torch.no_grad(), SiteMode(model, Call.compute):
            for _ in range(args.batches):
                model(batch)

    def observed() -> None:
        observe(model, [batch] * args.batches)

    def fake_quantized() -> None:
        with torch.no_grad():
            for _ in range(args.batches):
                quantized(batch)

    def step() -> None:
        model(batch)[0].sum().backward()

    def quantized_step() -> None:
        quantized(batch)[0].sum().backward()

    cases: dict[str, tuple[Callable[[], None], str]] = {
        "plain inference": (plain, "plain inference"),
        "written out, nothing done": (written_out, "plain inference"),
        "observed": (observed, "plain inference"),
        "quantized": (fake_quantized, "plain inference"),
        "training step": (step, "training step"),
        "quantized training step": (quantized_step, "training step"),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for round_ in range(args.rounds + 1):
        for name, (case, _) in cases.items():
            start = time.perf_counter()
            case()
            if round_:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    with torch.no_grad(), SiteMode(model, Call.compute):
        difference = float((model(batch)[0] - _plain(model, batch)).abs().max())
    report = vars(args) | {
        "torch": torch.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
        "largest_difference": difference,
        "milliseconds": {name: round(1e3 * median(values), 1) for name, values in times.items()},
        "ratio": {
            name: round(median(t / base for t, base in zip(times[name], times[to], strict=True)), 2)
            for name, (_, to) in cases.items()
        },
    }
    print(json.dumps(report, indent=1))


def _plain(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    with torch._C.DisableTorchFunction():
        output: torch.Tensor = model(batch)[0]
        return output


if __name__ == "__main__":
    main()
