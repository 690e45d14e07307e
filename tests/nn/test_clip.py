"""Clipped GELU and Swish (Appendix D): every way in which networks compute them."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from qanalysis.nn.clip import clipped, met


class Swish(nn.Module):
    """Written out, as libraries do."""

    def forward(self, x):
        return x * torch.sigmoid(x)


class NewGELUActivation(nn.Module):
    """The approximation by tanh, written out."""

    def forward(self, x):
        return 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))


class Called(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


WAYS = {
    "module": (lambda: nn.GELU(), "GELU"),
    "silu in place": (lambda: nn.SiLU(inplace=True), "Swish"),
    "gelu called": (lambda: Called(functional.gelu), "GELU"),
    "silu called": (lambda: Called(functional.silu), "Swish"),
    "swish written out": (Swish, "Swish"),
    "gelu written out": (NewGELUActivation, "GELU"),
}
X = torch.tensor([[-100.0, -0.75, 0.0, 3.0, 9.0, 12.0, 50.0]])


def network(activation: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Identity(), nn.Sequential(activation), nn.Identity())


@pytest.mark.parametrize(("make", "kind"), WAYS.values(), ids=WAYS)
def test_outputs_above_the_limit_are_the_limit_and_others_stay(make, kind):
    model = network(make())
    expected = model(X.clone()).clamp(max=10)
    copied = clipped(model, 10)
    assert torch.equal(copied(X.clone()), expected)
    assert torch.equal(copy.deepcopy(copied)(X.clone()), expected)
    assert model(X.clone()).max() > 40  # it is not changed
    with met(model) as kinds:
        model(X.clone())
    assert kinds == {kind}


def test_other_activations_are_left_alone():
    model = network(nn.Sequential(nn.ReLU(), nn.Hardswish(), nn.Identity()))
    with met(model) as kinds:
        model(X)
    assert kinds == set()
    assert torch.equal(clipped(model, 10)(X), model(X))


def test_a_part_that_is_called_by_itself_is_clipped():
    model = nn.Sequential(nn.Sequential(nn.Identity(), Called(functional.gelu)))
    assert clipped(model, 10)[0](X).max() == 10


def test_parameters_are_shared_and_named_alike():
    model = nn.Sequential(nn.Linear(7, 7), nn.GELU())
    copied = clipped(model, 10)
    assert list(copied.state_dict()) == list(model.state_dict())
    assert copied[0].weight is model[0].weight
    assert isinstance(copied[1], nn.GELU)


def test_an_error_within_leaves_nothing_behind():
    model = clipped(nn.Sequential(Called(lambda x: functional.gelu(x) @ x)), 10)
    with pytest.raises(RuntimeError):
        model(torch.ones(2, 3))
    assert functional.gelu(X).max() == 50


def test_it_is_exported():
    model = clipped(nn.Sequential(nn.Linear(7, 7), Called(functional.gelu), nn.GELU()), 0.1)
    program = torch.export.export(model.eval(), (X,))
    assert torch.equal(program.module()(X), model(X))
