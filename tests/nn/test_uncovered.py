"""Whatever multiplies and is no site is told of, with its multiply-accumulates."""

import pytest
import torch
from torch import nn
from torch.nn.attention.flex_attention import flex_attention

from qanalysis.nn.observe import coverage, observe
from tests.cases import networks


class Call(nn.Module):
    """A function of the input and a weight, then a linear layer."""

    def __init__(self, function):
        super().__init__()
        self.function, self.weight, self.head = function, nn.Parameter(torch.ones(8, 4)), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.function(x, self.weight))


@torch.library.custom_op("tests::double_product", mutates_args=())
def double_product(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return 2 * x @ weight


FUNCTIONS = {
    "tensordot": (lambda x, w: torch.tensordot(x, w, 1), 32),
    "linalg_multi_dot": (lambda x, w: torch.linalg.multi_dot([x, w, torch.eye(4)]), None),
    "mv": (lambda x, w: torch.stack([torch.mv(x, w[:, n]) for n in range(4)], 1), 32),
    "inner": (lambda x, w: torch.inner(x, w.T), 32),
    "bilinear": (lambda x, w: nn.functional.bilinear(x, x, torch.ones(4, 8, 8)), 256),
    "double_product": (double_product, 0),
    "mm": (lambda x, w: torch.ops.aten.mm.default(x, w), None),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_is_told_with_its_work(name):
    function, macs = FUNCTIONS[name]
    found = coverage(Call(function).eval(), torch.randn(2, 8))
    covered = {site.name for site in found.sites}
    if name == "mm" and "model:matmul_0" in covered:
        return  # met as a function after all
    (work,) = found.not_covered
    assert work.operation == name
    assert macs is None or work.macs == macs
    assert found.macs == 12 + work.macs


def test_work_of_layers_that_are_not_covered_counts():
    model = networks.deformed().eval()
    found = coverage(model, torch.randn(2, 3, 8, 8))
    assert sum(work.macs for work in found.not_covered) == 36 * 8 * 27
    assert observe(model, [torch.randn(3, 3, 8, 8), torch.randn(2, 3, 8, 8)]).coverage.macs == found.macs


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("layer", "gates"), [(nn.LSTM, 4), (nn.GRU, 3)])
def test_a_recurrent_operator_that_no_function_called_counts(layer, gates):
    """TorchScript runs its own forward: no function is met, and its products are told of as operators."""

    class Scripted(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.jit.trace(layer(12, 8, batch_first=True).eval(), torch.randn(2, 5, 12))
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.layer(x)[0])

    found = coverage(Scripted().eval(), torch.randn(2, 5, 12))
    assert [site.name for site in found.sites] == ["head"]
    assert sum(work.macs for work in found.not_covered) == 5 * gates * 8 * (12 + 8)


class Flexible(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(16, 16)

    def forward(self, x):
        y = self.head(x)[:, None]
        return flex_attention(y, y, y)[:, 0].mean(1)


@pytest.mark.filterwarnings("ignore:.*flex_attention.*")
def test_flexible_attention_is_told_of():
    found = coverage(Flexible().eval(), torch.randn(2, 6, 16))
    assert [(work.operation, work.macs) for work in found.not_covered] == [("flex_attention", 2 * 6 * 6 * 16)]


def test_a_complex_layer_is_not_called_unexecuted():
    found = coverage(networks.with_complex().eval(), torch.randn(2, 12))
    assert [(work.module, work.reason) for work in found.not_covered] == [
        ("first", "complex numbers are not quantized")
    ]
