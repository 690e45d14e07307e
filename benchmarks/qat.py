"""What a step of quantization-aware training costs, and whether it learns as a plain loop does.

Step times are of forward, backward and update on the same batches, all variants in turn within one round, so that a
busy moment of the machine meets all of them; the ratio to floating point is what counts. ModelOpt is measured, too,
where it is installed (it is not needed for anything else).

    python -m benchmarks.qat
    python -m benchmarks.qat --accuracy --data npz:cifar10.npz
"""

import argparse
import copy
import platform
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import qanalysis
from qanalysis.analysis import qat
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.progress import silent
from qanalysis.analysis.training.loop import Loop
from qanalysis.analysis.training.optimizer import train_mode
from qanalysis.analysis.training.processes import ALONE
from qanalysis.analysis.training.recipe import learning_rate
from qanalysis.schema.params.qat import QatParams
from tests import reference_training

Step = Callable[[torch.Tensor, torch.Tensor], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=["resnet20", "mobilenet_v2", "vit"])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--accuracy", action="store_true", help="one epoch of 10,000 images, ours and a plain loop")
    parser.add_argument("--data", default="sample:cifar10")
    args = parser.parse_args()
    print(f"PyTorch {torch.__version__}, {platform.machine()}, {torch.get_num_threads()} threads")
    if args.accuracy:
        accuracy(args.data)
        return
    for name in args.models:
        ratios(f"sample:{name}", args.batch_size, args.rounds)


def ratios(model: str, batch_size: int, rounds: int) -> None:
    """Prints the median time of a step of each variant over that in floating point."""
    shared = {"model": model, "calibration": "max", "calibration_samples": 64, "evaluation_samples": 64}
    shared |= {"steps": rounds, "train_batch_size": batch_size}
    steps: dict[str, Step] = {}
    for name, ranges in (("fp32", "fixed"), ("fixed ranges", "fixed"), ("learned ranges", "learned")):
        given = qat._prepared(QatParams(**shared, ranges=ranges), silent, Checkpoint(None), None, ALONE)
        network = given.float_copy() if name == "fp32" else given.quantized()
        train_mode(network, "trained")
        steps[name] = _step(Loop(network, given.training("qat")))
    amaxes = {str(tensor): range_.amax for tensor, range_ in given.ranges.ranges.items() if range_ is not None}
    if not any(":" in key for key in amaxes):  # it knows layers only, no matrix products
        steps["plain loop"] = _plain(reference_training.quantized(given.float_copy().train(), amaxes, 8))
    other = _modelopt(given.float_copy(), given.batches.of_step(0)[0])
    if other is not None:
        steps["ModelOpt"] = _plain(other.train())
    batches = [given.batches.of_step(step)[:2] for step in range(4)]
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            step(*batches[number % len(batches)])
            times[name].append(time.perf_counter() - start)
    fp32 = float(np.median(times["fp32"][2:]))
    print(f"{model}, batch {batch_size}: fp32 {1000 * fp32:.0f} ms a step")
    for name, values in times.items():
        median, least = float(np.median(values[2:])), min(values[2:])
        print(f"  {name:<16}{median / fp32:6.2f} x  (of minima {least / min(times['fp32'][2:]):.2f})")


def accuracy(data: str) -> None:
    """One epoch at 4/4 bits, fixed ranges, SGD with momentum 0.9, 1e-3 to 1e-5, batch 256: ours and a plain loop."""
    shared = {
        "data": data, "bits": 4, "epochs": 1, "train_samples": 10_000, "train_batch_size": 256, "learning_rate": 1e-3,
        "weight_decay": 0.0, "label_smoothing": 0.0, "augment": False, "control": False,
    }  # fmt: skip
    for calibration in ("max", "entropy", "percentile:99.9"):
        params = QatParams(**shared, calibration=calibration)
        result = qanalysis.run("qat", **params.model_dump())
        given = qat._prepared(params, silent, Checkpoint(None), None, ALONE)
        amaxes = {str(tensor): range_.amax for tensor, range_ in given.ranges.ranges.items() if range_ is not None}
        plain = reference_training.quantized(copy.deepcopy(given.module), amaxes, 4).train()
        steps = range(given.recipe.steps)
        batches = (given.batches.of_step(step)[:2] for step in steps)
        reference_training.train(plain, batches, [learning_rate(given.recipe, step) for step in steps])
        theirs = given.change(given.answers(plain.eval()))
        print(
            f"{calibration}: fp32 {result.fp32.accuracy:.2f} %, before {result.ptq.accuracy:.2f} %, ours "
            f"{result.qat.accuracy:.2f} %, plain loop {theirs.accuracy:.2f} % ({given.recipe.steps} steps)",
            flush=True,
        )


def _step(loop: Loop) -> Step:
    return lambda inputs, labels: loop.step(inputs, labels, len(inputs))


def _plain(network: nn.Module) -> Step:
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)

    def step(inputs: torch.Tensor, labels: torch.Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(network(inputs), labels).backward()
        optimizer.step()

    return step


def _modelopt(network: nn.Module, inputs: torch.Tensor) -> nn.Module | None:
    """The network quantized by ModelOpt's default int8 settings; None where it is not installed."""
    try:
        import modelopt.torch.quantization as mtq
    except ImportError:
        return None
    quantized: nn.Module = mtq.quantize(network.eval(), mtq.INT8_DEFAULT_CFG, lambda model: model(inputs))
    return quantized


if __name__ == "__main__":
    main()
