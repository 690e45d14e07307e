from http.client import IncompleteRead
from urllib.error import URLError

import pytest
import torch

from qanalysis import models
from qanalysis.models import torchvision


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v2", "squeezenet1_1", "shufflenet_v2_x0_5"])
def test_a_model_with_random_weights_classifies_and_is_marked(architecture):
    loaded = models.load(f"torchvision:{architecture}@none")
    assert loaded.name == f"torchvision:{architecture}@none"
    assert not loaded.trained
    assert "random weights" in loaded.origin
    assert loaded.architecture == architecture
    with torch.inference_mode():
        assert loaded.module(torch.zeros(1, *loaded.input_shape)).shape == (1, 1000)


def test_a_model_with_auxiliary_heads_gives_logits_alone():
    loaded = models.load("torchvision:googlenet@none?classes=5")  # a warning of torchvision's would be an error here
    with torch.inference_mode():
        assert loaded.module(torch.zeros(1, 3, 224, 224)).shape == (1, 5)


def test_the_number_of_classes_is_an_option_and_part_of_the_name():
    loaded = models.load("torchvision:resnet18@none?classes=7")
    assert loaded.module.fc.out_features == 7
    assert loaded.name == "torchvision:resnet18@none?classes=7"


@pytest.mark.parametrize(
    "error", [URLError("no route to host"), IncompleteRead(b""), RuntimeError("invalid hash value")]
)
def test_offline_is_one_sentence_that_says_what_to_do(monkeypatch, error):
    def offline(*arguments, **options):
        raise error

    monkeypatch.setattr(torchvision.zoo, "get_model", offline)
    with pytest.raises(ValueError, match="could not be downloaded") as caught:
        models.load("torchvision:resnet50@IMAGENET1K_V2")
    assert "torchvision:resnet50@none" in str(caught.value)
    assert "checkpoints" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "full", "mean"),
    [
        ("torchvision:resnet50", "torchvision:resnet50@IMAGENET1K_V2", 0.485),
        ("torchvision:resnet50@IMAGENET1K_V1", "torchvision:resnet50@IMAGENET1K_V1", 0.485),
        ("torchvision:inception_v3", "torchvision:inception_v3@IMAGENET1K_V1", 0.485),
    ],
)
def test_trained_weights_bring_their_own_transform(monkeypatch, name, full, mean):
    monkeypatch.setattr(torchvision.zoo, "get_model", lambda *_, **__: torch.nn.Linear(2, 2))
    loaded = models.load(name)
    assert loaded.name == full
    assert loaded.trained
    assert loaded.mean[0] == mean
    assert loaded.input_shape[1] == loaded.transform.crop_size[0]
