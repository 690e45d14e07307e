"""What turns pixels into a model's inputs: normalisation, resizing and cropping."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import functional

from qanalysis.models.loaded import LoadedModel
from qanalysis.names import Name
from qanalysis.schema.errors import UserError

Channels = tuple[float, ...]

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet's training images, on pixels in [0, 1]."""
CROP = 0.875
"""Part of the short side that a centre crop keeps: 224 of 256 pixels, as in most ImageNet evaluations."""


@dataclass(frozen=True)
class Normalization:
    """Per channel, on pixels in [0, 1]; with a warning where it was assumed."""

    mean: Channels
    std: Channels
    warnings: tuple[str, ...] = ()


def normalization(
    name: Name, model: LoadedModel, channels: int, assumed: tuple[Channels, Channels], of: str
) -> Normalization:
    """That of the options `mean` and `std`, else the model's own, else the assumed one, with a warning.

    Args:
        name: the data's name with its options.
        model: the model to feed.
        channels: of the images.
        assumed: mean and standard deviation if nobody says; one value stands for all channels.
        of: whose the assumed values are, for the warning.

    Raises:
        UserError: for options that are not numbers, not as many as channels, or a deviation that is not positive.
    """
    if "mean" in name.options or "std" in name.options:
        if not {"mean", "std"} <= set(name.options):
            raise UserError(f"{name.source}: data takes the options mean and std together, e.g. ?mean=0.5&std=0.25.")
        return Normalization(_numbers(name, "mean", channels), _numbers(name, "std", channels))
    if model.mean is not None and model.std is not None:
        if len(model.mean) != channels:
            raise UserError(f"{model.name} takes {len(model.mean)} channels, but the images of {name} have {channels}.")
        return Normalization(model.mean, model.std)
    mean, std = (values * channels if len(values) == 1 else values for values in assumed)
    if len(mean) != channels:
        raise UserError(f"Say how {name} is normalised: it has {channels} channels; add ?mean=…&std=….")
    warning = (
        f"The model does not say how its inputs are normalised: {of} were taken; "
        f"if accuracy is poor, set them with ?mean=…&std=…."
    )
    return Normalization(mean, std, (warning,))


def size_warning(model: LoadedModel, height: int, width: int) -> tuple[str, ...]:
    """A warning if images that are fed as they are have another size than the model was made for."""
    if model.input_shape is None or model.input_shape[1:] == (height, width):
        return ()
    made_for = "×".join(str(side) for side in model.input_shape[1:])
    return (f"The model was made for {made_for} inputs, but these images are {height}×{width} and fed as they are.",)


def centre_crop(shape: tuple[int, int, int], normalized: Normalization) -> Callable[[Image.Image], torch.Tensor]:
    """From a PIL image to a normalised input of `shape` `(C, H, W)`.

    An image that has the size already is left as it is; any other is resized (bilinear) so that the crop keeps 87.5 %
    of its short side.
    """
    channels, height, width = shape
    side = max(round(height / CROP), round(width / CROP))
    mean, std = np.array(normalized.mean, np.float32), np.array(normalized.std, np.float32)

    def prepared(image: Image.Image) -> torch.Tensor:
        image = image.convert("L" if channels == 1 else "RGB")
        if image.size != (width, height):
            image = functional.center_crop(functional.resize(image, [side]), [height, width])
        values = np.asarray(image, np.float32).reshape(height, width, channels) / np.float32(255)
        return torch.from_numpy((values - mean) / std).permute(2, 0, 1)

    return prepared


def _numbers(name: Name, option: str, channels: int) -> Channels:
    text = name.options[option]
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) == 1:
        values *= channels
    fits = len(values) == channels and all(abs(value) < float("inf") for value in values)
    if not fits or (option == "std" and min(values) <= 0):
        sign = "positive " if option == "std" else ""
        raise UserError(
            f"Option {option} of {name.source}: data must be 1 or {channels} {sign}numbers separated by commas, "
            f"but got {option}={text}."
        )
    return values
