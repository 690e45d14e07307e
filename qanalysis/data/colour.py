"""Colour: an image file as eight bits of red, green and blue, upright, whatever it holds."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

_DEEP = "16-bit images were scaled to 8 bits"
_WIDE = "Images of whole numbers over 65,535 were stretched from their smallest to their largest value"
_UNIT = "Images of floating-point numbers from 0 to 1 were scaled to 8 bits"
_FLOAT = "Images of floating-point numbers were stretched from their smallest to their largest value"


def in_colour(image: Image.Image, tell: Callable[[str], object]) -> Image.Image:
    """An RGB image, turned as its EXIF data says; transparency is dropped, as torchvision does.

    Args:
        image: as it was opened.
        tell: told how values were brought to eight bits, where they had more.
    """
    turned = ImageOps.exif_transpose(image)
    if turned.mode.startswith("I"):  # I;16, I;16B, and I with 32 bits, which Pillow cuts off at 255
        values = np.asarray(turned).astype(np.float64)
        low, high = float(values.min()), float(values.max())
        if low >= 0 and high <= 255 and turned.mode == "I":
            return _grey(values)
        if low >= 0 and high <= 65535:
            tell(_DEEP)
            return _grey(values / 257)
        tell(_WIDE)
        return _grey(_stretched(values, low, high))
    if turned.mode == "F":
        values = np.nan_to_num(np.asarray(turned).astype(np.float64))
        low, high = float(values.min()), float(values.max())
        if low >= 0 and high <= 1:
            tell(_UNIT)
            return _grey(255 * values)
        tell(_FLOAT)
        return _grey(_stretched(values, low, high))
    return turned.convert("RGB")


def _grey(values: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> Image.Image:
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8)).convert("RGB")


def _stretched(
    values: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]", low: float, high: float
) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    return (values - low) * (255 / max(high - low, 1e-12))


def conversions(told: Mapping[str, Path]) -> tuple[str, ...]:
    """What was done to images that are not eight bits a channel, with the first of each kind, as sentences."""
    return tuple(f"{note} (first {path})." for note, path in told.items())
