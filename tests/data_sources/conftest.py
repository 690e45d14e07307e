"""A model that needs no network, and small images."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from qanalysis.models.loaded import LoadedModel

MEAN, STD = (0.5, 0.25, 0.75), (0.5, 0.25, 0.125)


@pytest.fixture
def model() -> Callable[..., LoadedModel]:
    """`model(field=value, …)`: a `LoadedModel` for 3×8×8 inputs."""
    base = LoadedModel("test:model", nn.Identity(), True, "", (3, 8, 8), None, MEAN, STD)

    def build(**fields: Any) -> LoadedModel:
        return replace(base, **fields)

    return build


@pytest.fixture
def images_in() -> Callable[..., list[Path]]:
    """`images_in(folder, count, size, suffix)`: writes images of one colour each, the first black, and so on."""

    def write(folder: Path, count: int, size: tuple[int, int] = (8, 8), suffix: str = ".png") -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{i:03}{suffix}" for i in range(count)]
        for i, path in enumerate(paths):
            Image.new("RGB", size, (i, 2 * i, 255 - i)).save(path)
        return paths

    return write


def pixel_batch(count: int, side: int = 8, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Random uint8 images `(N, side, side, channels)`."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, channels), np.uint8)
