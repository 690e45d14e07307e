"""Trains one sample network on CIFAR-10 and records what it measured.

One-cycle learning rate, SGD with Nesterov momentum, label smoothing, random crop and flip. The first part of the schedule
can run on images shrunk to `--low-resolution` pixels, which costs less and teaches nearly as much. Every epoch writes a
checkpoint, so that a stopped run continues where it was when started again with the same arguments.

    python sample_models/train.py resnet20 --data cifar10.npz --runs runs
    python sample_models/train.py resnet20 --data cifar10.npz --runs runs --publish   # write sample_models/resnet20.*
"""

import argparse
import json
import math
import platform
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from qanalysis.data.augment import augment
from qanalysis.models.sample import CIFAR_MEAN, CIFAR_STD, NETWORKS

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Recipe:
    """What determines a run; recorded in the model card."""

    network: str
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    optimizer: str
    low_resolution: int
    low_resolution_epochs: int
    polish_epochs: int
    polish_learning_rate: float
    polish_padding: int
    average: bool
    bf16: bool
    seed: int


def normalized(pixels: np.ndarray, device: torch.device) -> torch.Tensor:
    """uint8 `(N, 32, 32, 3)` to normalized float `(N, 3, 32, 32)`."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device).float() / 255
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (CIFAR_MEAN, CIFAR_STD))
    return (images - mean) / std


@torch.no_grad()
def accuracy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Top-1 accuracy in %, at full resolution and in fp32."""
    model.eval()
    hits = 0
    for x, y in zip(images.split(500), labels.split(500), strict=True):
        hits += int((model(x.contiguous(memory_format=torch.channels_last)).argmax(1) == y).sum())
    return 100 * hits / len(labels)


@torch.no_grad()
def average(model: nn.Module, other: dict[str, torch.Tensor], images: torch.Tensor, recipe: Recipe) -> None:
    """Averages the model's weights with others (Izmailov et al. 2018) and measures batch norm anew on `images`."""
    state = model.state_dict()
    model.load_state_dict({k: (v + other[k]) / 2 if v.is_floating_point() else v for k, v in state.items()})
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain mean over the batches
    model.train()
    generator = torch.Generator().manual_seed(recipe.seed)
    for batch in images.split(500):
        model(augment(batch, generator, recipe.polish_padding).contiguous(memory_format=torch.channels_last))


def optimizer_for(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD (convolutional networks), AdamW (ViT) or RMSprop as EfficientNet's authors set it; vectors (norms, biases, positions) take no weight decay."""
    matrices = [p for p in model.parameters() if p.ndim > 1 and p.shape[0] != 1]
    vectors = [p for p in model.parameters() if not (p.ndim > 1 and p.shape[0] != 1)]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate)
    if recipe.optimizer == "rmsprop":  # Tan and Le 2019, section 5.2; its epsilon is that of their code
        return torch.optim.RMSprop(groups, lr=recipe.learning_rate, alpha=0.9, eps=1e-3, momentum=0.9)
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True)


def train(recipe: Recipe, data: Path, run: Path, device: torch.device) -> tuple[nn.Module, dict[str, Any]]:
    """Trains to the end of the schedule, continuing from `run/last.pt` if it is there; returns model and record."""
    arrays = np.load(data)
    x_train, x_test = (normalized(arrays[f"x_{s}"], device) for s in ("train", "test"))
    y_train, y_test = (torch.from_numpy(arrays[f"y_{s}"]).long().to(device) for s in ("train", "test"))
    torch.manual_seed(recipe.seed)
    model = NETWORKS[recipe.network]().to(device, memory_format=torch.channels_last)
    optimizer = optimizer_for(model, recipe)
    steps = len(x_train) // recipe.batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.epochs * steps, pct_start=0.25, div_factor=10
    )
    loss_function = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    history: list[dict[str, float]] = []
    checkpoint = run / "last.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        history = state["history"]
    for epoch in range(len(history), recipe.epochs + recipe.polish_epochs):
        polished = epoch - recipe.epochs  # epochs of polishing before this one, negative during the one-cycle schedule
        padding = 4 if polished < 0 else recipe.polish_padding
        start = time.perf_counter()
        generator = torch.Generator().manual_seed(1000 * recipe.seed + epoch)
        model.train()
        total = 0.0
        order = torch.randperm(len(x_train), generator=generator)[: steps * recipe.batch_size]
        for step, index in enumerate(order.split(recipe.batch_size)):
            x = augment(x_train[index.to(device)], generator, padding)
            if epoch < recipe.low_resolution_epochs:
                x = functional.interpolate(x, size=recipe.low_resolution, mode="bilinear", antialias=True)
            x = x.contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.bf16):
                output = model(x)
            loss = loss_function(output.float(), y_train[index.to(device)])
            optimizer.zero_grad()
            loss.backward()
            if recipe.optimizer == "adamw":
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            if polished >= 0:
                progress = (polished + step / steps) / recipe.polish_epochs
                for group in optimizer.param_groups:
                    group["lr"] = recipe.polish_learning_rate * (1 + math.cos(math.pi * progress)) / 2
            optimizer.step()
            if polished < 0:
                schedule.step()
            total += loss.item()
        seconds = time.perf_counter() - start
        history.append({"loss": total / steps, "test_accuracy": accuracy(model, x_test, y_test), "seconds": seconds})
        print(recipe.network, epoch + 1, json.dumps(history[-1]), flush=True)
        state = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "history": history,
        }
        torch.save(state, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").rename(checkpoint)
        if epoch + 1 == recipe.epochs:
            shutil.copy(checkpoint, run / "cycle.pt")
    if recipe.average:
        cycle = torch.load(run / "cycle.pt", weights_only=True, map_location=device)["model"]
        average(model, cycle, x_train[:10_000], recipe)
    record = {
        "recipe": asdict(recipe),
        "test_images": len(x_test),
        "test_accuracy": accuracy(model, x_test, y_test),
        "parameters": sum(p.numel() for p in model.parameters()),
        "training_seconds": round(sum(epoch["seconds"] for epoch in history)),
        "torch": torch.__version__,
        "machine": torch.cuda.get_device_name() if device.type == "cuda" else f"{platform.machine()} CPU",
        "threads": torch.get_num_threads(),
        "history": history,
    }
    return model, record


def publish(model: nn.Module, record: dict[str, Any], folder: Path) -> None:
    """Writes the checkpoint `<network>.safetensors`, what was measured `.json`, and the model card `.md`."""
    name = record["recipe"]["network"]
    tensors = {key: value.contiguous().cpu() for key, value in model.state_dict().items()}
    save_file(tensors, folder / f"{name}.safetensors")
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    (folder / f"{name}.md").write_text(card(record))


def card(record: dict[str, Any]) -> str:
    """The model card: architecture, accuracy, data, recipe, cost."""
    recipe = record["recipe"]
    network = NETWORKS[recipe["network"]]
    low = recipe["low_resolution_epochs"]
    polish = recipe["polish_epochs"]
    before = record["history"][recipe["epochs"] - 1]["test_accuracy"]
    polished = (
        f"; then {polish} epochs from {recipe['polish_learning_rate']} to 0 (cosine) with crops of {recipe['polish_padding']} "
        f"pixels, added after the cycle had ended at {before:.2f} %"
        + (
            f"; weights averaged over the ends of both, batch norm measured anew (before: {record['history'][-1]['test_accuracy']:.2f} %)"
            if recipe["average"]
            else ""
        )
        if polish
        else ""
    )
    shrunk = (
        f", the first {low} on images shrunk to {recipe['low_resolution']} x {recipe['low_resolution']}" if low else ""
    )
    return f"""# {recipe["network"]}

{network.__doc__} Code: `{network.__module__.replace(".", "/")}.py`.

**{record["test_accuracy"]:.2f} %** top-1 on all {record["test_images"]:,} test images of CIFAR-10, measured in fp32 by the script that
trained it. {record["parameters"]:,} parameters.

| | |
|---|---|
| data | CIFAR-10 (Krizhevsky 2009), all 50,000 training images; random crop after 4 pixels of reflection, random flip |
| schedule | {recipe["epochs"]} epochs{shrunk}; one-cycle learning rate, peak {recipe["learning_rate"]}{polished} |
| optimizer | {recipe["optimizer"]}, batch size {recipe["batch_size"]}, weight decay {recipe["weight_decay"]} (matrices and kernels only) |
| loss | cross entropy, label smoothing {recipe["label_smoothing"]} |
| precision | {"bf16 autocast" if recipe["bf16"] else "fp32"} |
| seed | {recipe["seed"]} |
| training time | {record["training_seconds"] / 60:.0f} minutes on {record["machine"]}, {record["threads"]} thread(s), PyTorch {record["torch"]} |

Accuracy after every epoch is in `{recipe["network"]}.json`.
Made for studying quantization, not for use on real images.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--data", type=Path, required=True, help="the .npz written by convert_cifar10.py")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the checkpoint of every epoch")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--label-smoothing", type=float, default=0.1)
    parser.add_argument("--optimizer", choices=("sgd", "adamw", "rmsprop"), default="sgd")
    parser.add_argument("--low-resolution", type=int, default=24)
    parser.add_argument("--low-resolution-epochs", type=int, default=0)
    parser.add_argument("--polish-epochs", type=int, default=0, help="after the cycle, at a low rate and milder crops")
    parser.add_argument("--polish-learning-rate", type=float, default=0.01)
    parser.add_argument("--polish-padding", type=int, default=2)
    parser.add_argument("--average", action="store_true", help="average the ends of the cycle and of the polish")
    parser.add_argument("--bf16", action="store_true", help="autocast: faster on a GPU, and on some CPUs for some nets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--publish", action="store_true", help="write the checkpoint and its record beside this script")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    recipe = Recipe(**{name: getattr(args, name) for name in Recipe.__dataclass_fields__})
    run = args.runs / recipe.network
    run.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, record = train(recipe, args.data, run, device)
    print(f"{recipe.network}: {record['test_accuracy']:.2f} % on {record['test_images']} test images")
    if args.publish:
        publish(model, record, HERE)


if __name__ == "__main__":
    main()
