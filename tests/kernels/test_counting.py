"""Counting: PyTorch's operations and the compiled C give NumPy's counts, whatever the values, layout and threads."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qanalysis.kernels import compiled, counting
from qanalysis.kernels.counting import compiled_count, count
from qanalysis.numerics.histogram import BINS, Histogram

ROOT = Path(__file__).parents[2]
float32s = st.floats(width=32, allow_nan=False, allow_infinity=False)
needs_c = pytest.mark.skipif(
    compiled_count() is None, reason="the installation could not compile qanalysis/kernels/_counting.c"
)
SIZES = [1, 3, 1023, 1024, 1025, 65_536, 2**18 - 1, 2**18, 2**20 + 70_001]


@pytest.fixture(params=[pytest.param(True, marks=needs_c, id="compiled"), pytest.param(False, id="pytorch")])
def counter(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(counting, "compiled_count", lambda: None)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def check(x):
    expected = Histogram.of(x.numpy())
    np.testing.assert_array_equal(count(x, expected.exponent, expected.minimum < 0), expected.counts)


@pytest.mark.usefixtures("counter")
class TestEitherCounter:
    @pytest.mark.parametrize("signed", [True, False], ids=["signed", "relu"])
    @pytest.mark.parametrize("team", [1, 2, 5], ids="{} threads".format)
    @pytest.mark.parametrize("size", SIZES)
    def test_equals_numpys_for_sizes_that_are_counted_in_parts(self, size, team, signed, threads):
        threads(team)
        check(random(size) if signed else random(size).relu())
        assert torch.get_num_threads() == team

    @pytest.mark.parametrize("exponent", [-100, -30, 0, 1, 60, 116])
    def test_equals_numpys_on_every_edge_and_beside_it(self, exponent):
        edges = np.ldexp(np.arange(-BINS + 1, BINS, dtype=np.float32), exponent).astype(np.float32)
        check(torch.from_numpy(np.concatenate((edges, np.nextafter(edges, np.float32(0))))))

    def test_a_coarser_bin_width_gives_the_coarsened_histogram(self):
        x = random(300_000)
        own = Histogram.of(x.numpy())
        wider = own.merge(Histogram(np.zeros_like(own.counts), own.exponent + 3, 0.0, 0.0))
        np.testing.assert_array_equal(count(x, own.exponent + 3, True), wider.counts)

    def test_a_value_that_only_a_flag_negates_counts_as_what_it_is(self):
        x = torch.imag(torch.complex(random(1000), random(1000).abs()).conj())
        assert x.is_neg()
        np.testing.assert_array_equal(count(x, -9, True), count(x.resolve_neg(), -9, True))

    def test_a_view_with_gaps_counts_its_own_values(self):
        check(random(1000, 3)[:, 1])

    def test_counts_do_not_add_up_over_calls(self):
        assert [count(torch.ones(10), -10, False).sum() for _ in range(3)] == [10, 10, 10]


@needs_c
@given(hnp.arrays(np.float32, st.integers(1, 60), elements=float32s))
def test_c_equals_numpy_for_every_float(values):
    check(torch.from_numpy(values))


@needs_c
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 3e38], ids=str)
def test_c_never_writes_beyond_its_tables(bad):
    assert count(torch.full((5000,), bad), -100, True).sum() == 5000


@needs_c
def test_c_counts_in_the_threads_that_pytorch_has_started():
    """More threads than PyTorch's would outnumber the cores, and slow down every operation of the process."""
    program = """
import os, torch
from qanalysis.kernels.counting import compiled_count, count
torch.set_num_threads(2)
x = torch.randn(2**20)
x.mul(2)
before = len(os.listdir("/proc/self/task"))
assert compiled_count() is not None
count(x, -9, True)
print(len(os.listdir("/proc/self/task")) - before)
"""
    if not Path("/proc/self/task").exists():
        pytest.skip("threads are counted in /proc")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "0\n"


class TestWithoutTheCompiledFile:
    @pytest.fixture(autouse=True)
    def _forget(self):
        compiled_count.cache_clear()
        yield
        compiled_count.cache_clear()

    def test_not_compiled(self, monkeypatch):
        monkeypatch.setattr(compiled, "find_spec", lambda name: None)
        assert compiled_count() is None
        check(random(70_000))

    def test_a_file_that_cannot_be_loaded(self, monkeypatch, tmp_path):
        (tmp_path / "broken.so").write_bytes(b"not a library")
        monkeypatch.setattr(compiled, "find_spec", lambda name: type("Spec", (), {"origin": tmp_path / "broken.so"}))
        assert compiled_count() is None
        check(random(70_000))

    def test_installs_where_there_is_no_compiler(self, tmp_path):
        pytest.importorskip("setuptools")
        done = subprocess.run(
            [sys.executable, "setup.py", "build_ext", "--build-lib", tmp_path, "--build-temp", tmp_path],
            cwd=ROOT,
            env=os.environ | {"CC": "no-such-compiler", "LDSHARED": "no-such-compiler"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert not list(tmp_path.rglob("*.so"))
