"""A model with learned ranges: what a step may do to them."""

import pytest
import torch
from torch import nn

from qanalysis.nn.learned import LearnedModel
from qanalysis.numerics.spec import Range
from qanalysis.schema.observations import RangeTable
from qanalysis.schema.plan import Plan
from qanalysis.schema.site import TensorId

NET = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
TABLE = RangeTable("max", {TensorId("0", "input"): Range(-2.0, 2.0), TensorId("2", "input"): Range(-0.01, 0.01)})
X = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))


class TestSteps:
    """Whatever the optimizer makes of a range."""

    @pytest.mark.parametrize("value", [-1e20, 0.0, float("nan"), 1e30, float("-inf")])
    def test_a_range_moves_by_a_quarter_at_the_most(self, value):
        model = LearnedModel(NET, Plan(), TABLE)
        model(X)
        before = model.values()
        with torch.no_grad():
            for alpha in model.alphas:
                alpha.fill_(value)
        model.keep_positive()
        for old, new in zip(before, model.values(), strict=True):
            assert old / 1.25 <= new * (1 + 1e-6)
            assert new <= old * 1.25 * (1 + 1e-6)

    def test_a_range_never_dies(self):
        model = LearnedModel(NET, Plan(), TABLE)
        start = model.values()
        for _ in range(50):
            model(X)
            with torch.no_grad():
                for alpha in model.alphas:
                    alpha.fill_(-1.0)
            model.keep_positive()
        assert model.values() == pytest.approx([value / 16 for value in start])
        assert torch.isfinite(model(X)).all()
