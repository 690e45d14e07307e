"""The trace of a fine-tune: the same after a trip through its file, small however long it runs, clear when broken."""

import numpy as np
import pytest

from qanalysis.schema.results.trace import BINS_PER_CODE, CODES, Trace, bins, positions


def filled(epochs=3):
    trace = Trace(tensors=("conv1", "fc"))
    for step in range(4):
        trace = trace.with_ranges(step, [1.0 + step, 2.0])
    for epoch in range(epochs):
        trace = trace.with_weights(epoch, {"conv1": (np.arange(bins()) + epoch, 7)})
    return trace


def test_a_file_gives_back_what_was_put_in(tmp_path):
    trace = filled()
    trace.save(tmp_path / "trace.npz")
    read = Trace.load(tmp_path / "trace.npz")
    assert (read.tensors, read.sites) == (("conv1", "fc"), ("conv1",))
    assert read.steps.tolist() == [0, 1, 2, 3]
    assert read.ranges[:, 0].tolist() == [1, 2, 3, 4]
    assert np.array_equal(read.weights, trace.weights)
    assert read.codes.tolist() == [7]


def test_an_empty_trace_can_be_kept(tmp_path):
    Trace().save(tmp_path / "trace.npz")
    assert Trace.load(tmp_path / "trace.npz").weights.shape == (0, 0, bins())


def test_a_long_run_keeps_its_start_and_its_end():
    trace = filled(40)
    assert trace.epochs[0] == 0
    assert trace.epochs[-1] == 39
    assert len(trace.epochs) == len(trace.weights) == 12
    assert trace.weights[0, 0, 0] == 0


def test_bins_are_centred_on_codes():
    assert positions()[::BINS_PER_CODE].tolist() == list(range(-CODES, CODES + 1))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a file"])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "trace.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"trace\.npz is not a trace"):
        Trace.load(path)
