"""What is compiled gives what PyTorch's operations give, to the bit, and is left out where it cannot."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.kernels import compiled
from qanalysis.kernels.quantize import fake_quantize, learned_fake_quantize, per_tensor
from qanalysis.numerics.spec import QuantizerSpec, Range

SPEC, AFFINE = QuantizerSpec(4), QuantizerSpec(4, "affine")
needs_it = pytest.mark.skipif(
    compiled._fake_quantize() is None, reason="the installation could not compile qanalysis/kernels/_rounding.c"
)
LAYOUTS = {
    "plain": lambda: torch.randn(5, 6, 7, 9),
    "channels last": lambda: torch.randn(5, 6, 7, 9).contiguous(memory_format=torch.channels_last),
    "volume": lambda: torch.randn(2, 3, 4, 5, 6).contiguous(memory_format=torch.channels_last_3d),
    "one value": lambda: torch.randn(1),
    "0-d": lambda: torch.randn(()),
    "nothing": lambda: torch.empty(0),
    "many": lambda: torch.randn(300_001),
    "ties": lambda: torch.arange(-40, 41) / 8,
}


@pytest.fixture
def by_pytorch(monkeypatch):
    """Takes the compiled functions away."""

    def without():
        monkeypatch.setattr(compiled, "_fake_quantize", lambda: None)
        monkeypatch.setattr(compiled, "_clip_gradient", lambda: None)

    return without


def both(by_pytorch, compute):
    """What is computed with the compiled functions, and then without."""
    first = compute()
    by_pytorch()
    return first, compute()


@needs_it
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("spec", "range_"), [(SPEC, Range(-1.3, 1.3)), (AFFINE, Range(-0.4, 2.0))], ids=str)
def test_rounding_is_the_same_to_the_bit(by_pytorch, layout, spec, range_):
    x = LAYOUTS[layout]()
    params = per_tensor(range_, spec)
    ours, theirs = both(by_pytorch, lambda: fake_quantize(x, params))
    assert torch.equal(ours, theirs)
    assert ours.stride() == theirs.stride()


@needs_it
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "nothing"])
def test_gradients_of_learned_ranges_are_the_same(by_pytorch, layout):
    x = LAYOUTS[layout]()
    upstream = torch.randn_like(x)

    def gradients():
        leaf, alpha = x.clone().requires_grad_(), torch.tensor(0.9, requires_grad=True)
        learned_fake_quantize(leaf, alpha, 0.9, 7).backward(upstream)
        return leaf.grad, alpha.grad

    (to_x, to_alpha), (expected, of_alpha) = both(by_pytorch, gradients)
    assert torch.equal(to_x, expected)
    assert to_alpha.item() == pytest.approx(of_alpha.item(), rel=1e-4, abs=1e-4)


@needs_it
@given(st.integers(1, 200_000), st.integers(0, 2**31 - 1))
def test_every_value_is_reached_whatever_the_number_of_threads(size, seed):
    x = torch.randn(size, generator=torch.Generator().manual_seed(seed))
    found, rest = compiled.clipped_gradient(torch.ones(size), x, 1.0)
    assert torch.equal(found, (x.abs() < 1).float())
    assert rest == int((x >= 1).sum()) - int((x <= -1).sum())


@needs_it
def test_what_is_not_a_number_stays_so():
    x = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0])
    y = fake_quantize(x, per_tensor(Range(-2.0, 2.0), SPEC))
    assert y[0].isnan()
    assert y[1:].tolist() == [2.0, -2.0, 0.0]


OTHERS = {
    "float64": torch.randn(10).double(),
    "half": torch.randn(10).half(),
    "gaps": torch.randn(10, 10)[:, ::2],
    "transposed": torch.randn(4, 6).T,
    "stretched": torch.randn(1, 4).expand(3, 4),
    "negated view": torch.randn(4, dtype=torch.complex64).conj().imag,
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_tensors_are_left_to_pytorch(name):
    x = OTHERS[name]
    assert compiled.fake_quantized(x, 1.0, 0.0, (-7, 7), 1.0) is None
    y = fake_quantize(x, per_tensor(Range(-7.0, 7.0), SPEC))
    assert torch.equal(y, x.round().clamp(-7, 7))


def test_gradients_in_another_layout_are_left_to_pytorch():
    x = torch.randn(2, 3, 4, 5)
    assert compiled.clipped_gradient(x.contiguous(memory_format=torch.channels_last), x, 1.0) is None


def test_a_module_that_was_not_compiled_is_none():
    assert compiled.load("qanalysis.kernels._nothing", "f", []) is None
    assert compiled.load("qanalysis.numerics.spec", "f", []) is None  # not of C
