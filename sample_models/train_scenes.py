"""Trains the sample detector or the sample segmenter on scenes composed from CIFAR-10, and records what it measured.

Every scene is new: composed from the 50,000 training images by its number. Both bodies start from the sample ResNet-20.
One-cycle learning rate, AdamW, bf16 autocast. Every epoch (20,000 scenes) writes a checkpoint, so that a stopped run
continues where it was when started again with the same arguments.

    python sample_models/train_scenes.py detector --data cifar10.npz --runs runs
    python sample_models/train_scenes.py detector --data cifar10.npz --runs runs --publish   # write sample_models/detector.*
"""

import argparse
import json
import platform
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

import qanalysis
from qanalysis.data.scenes import SIDE, Scene, compose
from qanalysis.models.cifar.detector import detector
from qanalysis.models.cifar.segmenter import segmenter
from qanalysis.models.loaded import LoadedModel
from qanalysis.models.sample import CIFAR_MEAN, CIFAR_STD, TASKS

HERE = Path(__file__).parent
NETWORKS = {"detector": detector, "segmenter": segmenter}
SCENES_PER_EPOCH = 20_000
SEED_OF_TRAINING = 1  # scenes of seed 0 are those of `sample:scenes`
AUXILIARY = 0.5  # weight of the auxiliary head's loss, as in torchvision's reference


@dataclass(frozen=True)
class Recipe:
    """What determines a run; recorded in the model card."""

    network: str
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int


def scenes(images: np.ndarray, labels: np.ndarray, epoch: int, batch_size: int) -> Iterator[list[Scene]]:
    """The scenes of an epoch in batches, composed one batch ahead by a thread."""
    first = epoch * SCENES_PER_EPOCH

    def batch(start: int) -> list[Scene]:
        return [compose(images, labels, n, SEED_OF_TRAINING) for n in range(start, start + batch_size)]

    starts = range(first, first + SCENES_PER_EPOCH - batch_size + 1, batch_size)
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(batch, starts[0])
        for start in starts[1:]:
            ready, ahead = ahead.result(), pool.submit(batch, start)
            yield ready
        yield ahead.result()


def loss(network: str, model: nn.Module, batch: list[Scene]) -> torch.Tensor:
    """The network's own training loss on a batch of scenes."""
    images = torch.from_numpy(np.stack([s.pixels for s in batch])).permute(0, 3, 1, 2).float() / 255
    if network == "detector":
        targets = [{"boxes": torch.from_numpy(s.boxes), "labels": torch.from_numpy(s.labels + 1)} for s in batch]
        with torch.autocast("cpu", torch.bfloat16):
            parts = model(list(images), targets)
        return sum(parts.values(), torch.zeros(()))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (CIFAR_MEAN, CIFAR_STD))
    classes = torch.stack([class_map(s) for s in batch])
    with torch.autocast("cpu", torch.bfloat16):
        heads = model(((images - mean) / std).contiguous(memory_format=torch.channels_last))
    out, auxiliary = (functional.cross_entropy(heads[name].float(), classes) for name in ("out", "aux"))
    return out + AUXILIARY * auxiliary


def class_map(scene: Scene) -> torch.Tensor:
    """The class of every pixel, int64 `(H, W)`: 0 for the ground."""
    return torch.from_numpy((scene.masks * (scene.labels[:, None, None] + 1)).sum(0))


def measured(network: str, model: nn.Module) -> tuple[str, float, int]:
    """The metric's name, its value in % and the number of scenes: on `sample:scenes`, by the tool itself."""
    task = TASKS[network]
    given = LoadedModel(network, model.eval(), True, "", (3, SIDE, SIDE), mean=CIFAR_MEAN, std=CIFAR_STD, task=task)
    result = qanalysis.run("evaluate", model=given, data="sample:scenes", task=task, evaluation_samples=500)
    return result.metric, result.fp32.accuracy, result.fp32.samples


def publish(recipe: Recipe, model: nn.Module, history: list[dict[str, float]]) -> None:
    """Writes the checkpoint `<network>.safetensors`, what was measured `.json`, and the model card `.md`."""
    metric, accuracy, samples = measured(recipe.network, model)
    record = {
        "recipe": asdict(recipe) | {"optimizer": "adamw", "train_images": SCENES_PER_EPOCH},
        "data": "sample:scenes",
        "task": TASKS[recipe.network],
        "metric": metric,
        "test_images": samples,
        "test_accuracy": accuracy,
        "parameters": sum(p.numel() for p in model.parameters()),
        "training_seconds": round(sum(epoch["seconds"] for epoch in history)),
        "torch": torch.__version__,
        "machine": f"{platform.machine()} CPU",
        "threads": torch.get_num_threads(),
        "history": history,
    }
    tensors = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(tensors, HERE / f"{recipe.network}.safetensors")
    (HERE / f"{recipe.network}.json").write_text(json.dumps(record, indent=1) + "\n")
    (HERE / f"{recipe.network}.md").write_text(card(record))
    print(f"{recipe.network}: {accuracy:.2f} % {metric} on {samples} scenes")


def card(record: dict[str, Any]) -> str:
    """The model card: architecture, metric, data, recipe, cost."""
    recipe = record["recipe"]
    network = NETWORKS[recipe["network"]]
    return f"""# {recipe["network"]}

{" ".join(str(network.__doc__).split())} Code: `{network.__module__.replace(".", "/")}.py`.

**{record["test_accuracy"]:.2f} % {record["metric"]}** on {record["test_images"]} scenes of `sample:scenes`, whose objects are test images of CIFAR-10, measured in fp32
by the script that trained it. {record["parameters"]:,} parameters.

| | |
|---|---|
| data | scenes composed from the 50,000 training images of CIFAR-10 (Krizhevsky 2009), each seen once: `qanalysis/data/scenes.py` |
| schedule | {recipe["epochs"]} epochs of {recipe["train_images"]:,} scenes; one-cycle learning rate, peak {recipe["learning_rate"]}; the body starts from `resnet20` |
| optimizer | {recipe["optimizer"]}, batch size {recipe["batch_size"]}, weight decay {recipe["weight_decay"]} (matrices and kernels only) |
| loss | {"the detector's own (focal loss, generalized IoU, centerness)" if record["task"] == "detection" else f"cross entropy, the auxiliary head's at weight {AUXILIARY}"} |
| precision | bf16 autocast |
| seed | {recipe["seed"]} |
| training time | {record["training_seconds"] / 60:.0f} minutes on {record["machine"]}, {record["threads"]} thread(s), PyTorch {record["torch"]} |

Made for studying quantization, not for use on real images.
"""


def train(recipe: Recipe, data: Path, run: Path) -> tuple[nn.Module, list[dict[str, float]]]:
    """Trains to the end of the schedule, continuing from `run/last.pt` if it is there."""
    arrays = np.load(data)
    images, labels = arrays["x_train"], arrays["y_train"]
    torch.manual_seed(recipe.seed)
    model = NETWORKS[recipe.network]().to(memory_format=torch.channels_last)
    pretrained = load_file(HERE / "resnet20.safetensors")
    body = model.backbone.body
    body.load_state_dict({k: v for k, v in pretrained.items() if not k.startswith("fc.")})
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate)
    steps = recipe.epochs * (SCENES_PER_EPOCH // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps, pct_start=0.15)
    history: list[dict[str, float]] = []
    checkpoint = run / "last.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        history = state["history"]
    for epoch in range(len(history), recipe.epochs):
        start, total, count = time.perf_counter(), 0.0, 0
        model.train()
        for batch in scenes(images, labels, epoch, recipe.batch_size):
            value = loss(recipe.network, model, batch)
            optimizer.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            total, count = total + value.item(), count + 1
            if count % 50 == 0:
                print(recipe.network, epoch + 1, count, f"{total / count:.4f}", flush=True)
        history.append({"loss": total / count, "seconds": time.perf_counter() - start})
        print(recipe.network, epoch + 1, json.dumps(history[-1]), flush=True)
        state = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "history": history,
        }
        torch.save(state, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").rename(checkpoint)
    return model, history


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--data", type=Path, required=True, help="the .npz written by convert_cifar10.py")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the checkpoint of every epoch")
    parser.add_argument("--epochs", type=int, default=14, help="of 20,000 scenes each")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--weight-decay", type=float, default=0.02)
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
    model, history = train(recipe, args.data, run)
    if args.publish:
        publish(recipe, model, history)


if __name__ == "__main__":
    main()
