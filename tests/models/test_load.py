import pytest
import torch
from torch import nn

from qanalysis import models
from qanalysis.schema.catalog import MODEL_SOURCES


def with_nan() -> nn.Module:
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    network[0].weight.data[1, 2] = float("nan")
    network[0].weight.data[0, 0] = float("inf")
    return network


def in_training() -> nn.Module:
    return nn.Sequential(nn.Dropout()).train()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet50", "Unknown model 'resnet50'; write one like sample:resnet20"),
        ("keras:resnet50", "Unknown model 'keras:resnet50'"),
        ("sample:resnet20@best", "drop @best or write @none"),
        ("sample:alexnet@none", "Unknown sample model 'alexnet'; choose from resnet20"),
        ("sample:resnet20@none?classes=3", "Unknown option 'classes' of sample: names"),
        ("torchvision:resnet5@none", "no model named 'resnet5'. Did you mean resnet"),
        ("torchvision:zzz", "no model named 'zzz'.$"),
        ("torchvision:resnet50@BEST", "no weights named 'BEST'; choose from IMAGENET1K_V1, IMAGENET1K_V2"),
        ("torchvision:resnet18@none?classes=many", "classes of torchvision: names must be a whole number"),
        ("torchvision:resnet18?classes=10", "goes with random weights only; write torchvision:resnet18@none"),
        ("checkpoint:net.pt", "say the architecture: checkpoint:PATH"),
        ("python:no.such.module:factory", "cannot be imported: No module named"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(name, message):
    with pytest.raises(ValueError, match=message) as error:
        models.load(name)
    assert "\n" not in str(error.value)


def test_every_source_in_the_catalog_can_be_loaded():
    assert {*models.SOURCES, "checkpoint"} == set(MODEL_SOURCES)


def test_weights_that_are_not_finite_are_named():
    with pytest.raises(ValueError, match=r"weights must be finite, but 0\.weight holds 2 NaN or infinite values"):
        models.load(f"python:{__name__}:with_nan")


def test_models_are_in_evaluation_mode():
    assert not any(layer.training for layer in models.load(f"python:{__name__}:in_training").module.modules())


@pytest.mark.parametrize("name", ["sample:resnet20@none", "torchvision:squeezenet1_1@none"])
def test_random_weights_are_the_same_each_time_and_leave_the_random_state_alone(name):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = models.load(name).module.state_dict()
    torch.manual_seed(6)
    torch.rand(3)
    second = models.load(name).module.state_dict()
    torch.manual_seed(5)
    models.load(name)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[key], second[key]) for key in first)
