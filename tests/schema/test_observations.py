"""Observations: what is written is read, and what is not such a file is refused in one sentence."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from qanalysis.numerics.calibrate import Max, Mse, Percentile
from qanalysis.numerics.histogram import Histogram
from qanalysis.numerics.spec import Range
from qanalysis.schema.observations import Observations
from qanalysis.schema.plan import Override, Plan
from qanalysis.schema.site import Coverage, NotCovered, Site, TensorId

OLD = Path(__file__).parents[1] / "data" / "observations-1.npz"
RANDOM = np.random.default_rng(0)


def site(name, roles=("input",)):
    return Site(name=name, kind="linear", macs=12, roles=roles, input_shape=(1, 3), weight_shape=(4, 3))


@pytest.fixture
def observations():
    histograms = {
        TensorId("conv", "input"): Histogram.of(RANDOM.standard_cauchy(5000).astype(np.float32)),
        TensorId("fc", "input"): Histogram.of(np.maximum(RANDOM.normal(size=5000), 0)),
        TensorId("attn:matmul_0", "left"): Histogram.of(np.zeros(10)),
        TensorId("attn:matmul_0", "right"): Histogram.of(np.array([-3e38, 1e-45])),
    }
    missing = NotCovered(module="lstm", operation="lstm", reason="not yet")
    sites = (site("conv"), site("fc"), site("attn:matmul_0", ("left", "right")))
    return Observations(histograms, Coverage(sites=sites, not_covered=(missing,)), 64)


def test_what_is_saved_is_loaded(observations, tmp_path):
    path = tmp_path / "observations.npz"
    observations.save(path)
    loaded = Observations.load(path)
    assert loaded == observations
    assert list(loaded.histograms) == list(observations.histograms)
    assert [p.name for p in tmp_path.iterdir()] == ["observations.npz"]  # no partial file is left behind


def test_a_file_of_version_1_still_loads():
    loaded = Observations.load(OLD)
    assert loaded.samples == 2
    assert [s.name for s in loaded.coverage.sites] == ["conv1", "attn:matmul_0"]
    assert loaded.coverage.not_covered[0].operation == "lstm"
    assert loaded.histograms == {
        TensorId("conv1", "input"): Histogram.of(np.array([-1.5, 0.0, 0.0, 2.25, 3.0])),
        TensorId("attn:matmul_0", "left"): Histogram.of(np.array([0.0, 0.5, 5.75])),
        TensorId("attn:matmul_0", "right"): Histogram.of(np.zeros(7)),
    }
    assert loaded.ranges(Max()).ranges[TensorId("conv1", "input")] == Range(-3.0, 3.0)


def rewrite(path, change):
    """Writes a good file with its header changed."""
    with np.load(OLD) as arrays:
        content = dict(arrays)
    header = json.loads(content["header"].tobytes())
    change(header)
    np.savez(path, **content | {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)})


def truncated(path):
    path.write_bytes(OLD.read_bytes()[:-200])


def array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def flipped(path):
    content = bytearray(OLD.read_bytes())
    for position in range(60, len(content) // 2):
        content[position] ^= 0x5A
    path.write_bytes(content)


@pytest.mark.parametrize(
    "write",
    [
        truncated,
        flipped,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"PK\x03\x04 not a zip"),
        lambda path: path.write_text("not numbers"),
        array,
        lambda path: np.savez(path, other=np.zeros(3)),
        lambda path: np.savez(path, header=np.frombuffer(b"[1, 2]", np.uint8)),
        lambda path: np.savez(path, header=np.frombuffer(b"{broken", np.uint8)),
        lambda path: rewrite(path, lambda header: header.update(bins=512)),
        lambda path: rewrite(path, lambda header: header["tensors"][0].update(start=8191)),
        lambda path: rewrite(path, lambda header: header["tensors"].append(header["tensors"][0])),
        lambda path: rewrite(path, lambda header: header["coverage"].update(sites=7)),
    ],
    ids=[
        *("truncated", "damaged", "empty", "zip signature", "text", "npy", "other npz", "list for a header"),
        *("broken header", "other bins", "counts beyond the end", "missing counts", "coverage of a wrong type"),
    ],
)
def test_another_file_is_refused_in_one_sentence(write, tmp_path):
    path = tmp_path / "file.npz"
    write(path)
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))} is not a file of observations \(.+\)$") as error:
        Observations.load(path)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.npz is not a file of observations .*No such file"):
        Observations.load(tmp_path / "nowhere.npz")


def test_another_version_is_named(tmp_path):
    path = tmp_path / "file.npz"
    rewrite(path, lambda header: header.update(format="qanalysis-observations-2"))
    with pytest.raises(ValueError, match="format 'qanalysis-observations-2' is not 'qanalysis-observations-1'"):
        Observations.load(path)


def test_pickled_objects_are_refused(tmp_path):
    path = tmp_path / "file.npz"
    np.savez(path, header=np.array([{"format": "x"}], dtype=object))
    with pytest.raises(ValueError, match="is not a file of observations"):
        Observations.load(path)


class TestRanges:
    def test_every_tensor_is_calibrated(self, observations):
        table = observations.ranges(Max())
        assert table.calibration == "max"
        assert {tensor: range_ and range_.alpha for tensor, range_ in table.ranges.items()} == {
            tensor: histogram.amax or None for tensor, histogram in observations.histograms.items()
        }

    def test_sites_with_an_all_zero_operand_are_listed_once(self, observations):
        assert observations.ranges(Max()).unranged_sites() == ("attn:matmul_0",)

    def test_the_plan_gives_bits_and_scheme(self, observations):
        tensor = TensorId("fc", "input")
        histogram = observations.histograms[tensor]
        affine = observations.ranges(Max(), Plan(activation_scheme="affine")).ranges[tensor]
        assert affine == Range(0.0, histogram.maximum)
        coarse = observations.ranges(Mse(), Plan(activation_bits=3)).ranges[tensor]
        assert coarse.alpha < observations.ranges(Mse()).ranges[tensor].alpha

    def test_an_override_changes_one_site(self, observations):
        plan = Plan(overrides={"fc": Override(calibration="percentile:90")})
        table, plain = observations.ranges(Max(), plan), observations.ranges(Max())
        fc = TensorId("fc", "input")
        assert table.ranges[fc] == observations.ranges(Percentile(90)).ranges[fc] != plain.ranges[fc]
        assert all(table.ranges[tensor] == plain.ranges[tensor] for tensor in plain.ranges if tensor != fc)

    def test_a_skipped_site_is_calibrated_all_the_same(self, observations):
        assert observations.ranges(Max(), Plan(skip=frozenset(["fc"]))).ranges == observations.ranges(Max()).ranges
