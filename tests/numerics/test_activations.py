import numpy as np
import pytest
import torch

from qanalysis.numerics.activations import ACTIVATIONS

PYTORCH = {"GELU": torch.nn.functional.gelu, "Swish": torch.nn.functional.silu}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_is_pytorchs(name):
    x = np.linspace(-30, 30, 999)
    np.testing.assert_allclose(ACTIVATIONS[name](x), PYTORCH[name](torch.from_numpy(x)).numpy(), atol=1e-12)
