"""Scenes composed from small images: objects of several sizes on cluttered ground, hiding parts of each other.

A scene is a function of the images, a seed and its number alone, so nothing of it has to be kept.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 128
"""Height and width of a scene in pixels."""
SMALLEST, LARGEST = 30, 92
"""Side lengths of objects in pixels, before their aspect ratio."""
VISIBLE = 0.55
"""Share of an object that stays visible; where another would hide more of it, the other is put elsewhere."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A scene and what is in it, back to front.

    Attributes:
        pixels: uint8 `(SIDE, SIDE, 3)`.
        boxes: float32 `(K, 4)`, left, top, right, bottom in pixels, around what is visible of an object.
        labels: int64 `(K,)`, as the images have them.
        masks: bool `(K, SIDE, SIDE)`, the visible pixels.
    """

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: NDArray[np.bool_]


def compose(images: NDArray[np.uint8], labels: NDArray[np.int64], number: int, seed: int = 0) -> Scene:
    """Scene number `number` of a seed: two to five objects, each one of the images, cut out and resized.

    Args:
        images: uint8 `(N, H, W, 3)`; every object shows a whole one of them, clutter shows small pieces.
        labels: `(N,)`.
        number: which scene.
        seed: of the whole set.
    """
    random = np.random.default_rng((seed, number))
    pixels = _ground(images, random)
    masks: list[NDArray[np.bool_]] = []
    areas: list[int] = []
    chosen: list[int] = []
    for _ in range(int(random.integers(2, 6))):
        index = int(random.integers(len(images)))
        picture = images[index][:, ::-1] if random.random() < 0.5 else images[index]
        for _attempt in range(12):
            mask, patch, top, left = _cut_out(picture, random)
            placed = np.zeros((SIDE, SIDE), bool)
            placed[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
            if all((m & ~placed).sum() >= VISIBLE * area for m, area in zip(masks, areas, strict=True)):
                masks = [m & ~placed for m in masks]
                region = pixels[top : top + mask.shape[0], left : left + mask.shape[1]]
                region[mask] = patch[mask]
                masks.append(placed)
                areas.append(int(placed.sum()))
                chosen.append(index)
                break
    visible = np.stack(masks)
    return Scene(pixels, boxes_around(visible), labels[chosen].astype(np.int64), visible)


def boxes_around(masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The boxes `(K, 4)` around masks `(K, H, W)`, none empty: right and bottom are the pixel after the last."""
    rows, columns = (np.asarray(masks.any(axis)) for axis in (2, 1))
    height, width = masks.shape[1:]
    return np.stack(
        [
            columns.argmax(1),
            rows.argmax(1),
            width - columns[:, ::-1].argmax(1),
            height - rows[:, ::-1].argmax(1),
        ],
        axis=1,
    ).astype(np.float32)


def _cut_out(
    picture: NDArray[np.uint8], random: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.uint8], int, int]:
    """A picture resized, its outline (between an ellipse and a rectangle), and where its corner comes."""
    side = SMALLEST * (LARGEST / SMALLEST) ** random.random()
    aspect = 1.3 ** random.uniform(-1, 1)
    width, height = (round(v) for v in (side * aspect**0.5, side / aspect**0.5))
    power = random.uniform(2.5, 8)
    across = np.abs((np.arange(width) + 0.5) / width * 2 - 1) ** power
    down = np.abs((np.arange(height) + 0.5) / height * 2 - 1) ** power
    patch = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
    top, left = int(random.integers(0, SIDE - height + 1)), int(random.integers(0, SIDE - width + 1))
    return down[:, None] + across <= 1, patch, top, left


def _ground(images: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Smooth colours, and upon them enlarged pieces of images, too small to show an object."""
    coarse = Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    ground = np.array(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    for _ in range(int(random.integers(10, 25))):
        piece = int(random.integers(5, 12))
        row, column = random.integers(0, images.shape[1] - piece, 2)
        crop = images[random.integers(len(images)), row : row + piece, column : column + piece]
        width, height = (int(v) for v in random.integers(8, 56, 2))
        patch = np.asarray(Image.fromarray(crop).resize((width, height), Image.Resampling.BILINEAR))
        top, left = int(random.integers(0, SIDE - height + 1)), int(random.integers(0, SIDE - width + 1))
        ground[top : top + height, left : left + width] = patch
    return ground
