"""One contract for every engine that this machine has: it computes the file, tells times, and really runs int8."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from qanalysis.engines.export.graph import network
from qanalysis.engines.export.operands import FLOAT
from qanalysis.engines.layers import gathered, int8_sites, site_of, upstream
from qanalysis.engines.process import EngineProcess
from qanalysis.engines.protocol import LayerTime, Source
from qanalysis.engines.registry import ENGINES, engine
from qanalysis.schema.flavours import ENGINES as NAMES
from tests.engines.conftest import case, prepared, ran

SHAPE = (3, 8, 8)
FILES = ("openvino", "onnxruntime")


@pytest.fixture(scope="module")
def files(residual_case, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    networks = {"fp32": network(residual_case.traced, FLOAT), "int8": residual_case.network()}
    for name, net in networks.items():
        (folder / f"{name}.onnx").write_bytes(net.proto.SerializeToString())
    return {name: (str(folder / f"{name}.onnx"), net) for name, net in networks.items()}


def opened(files, name, precision, batch=4):
    path, _ = files[precision]
    return EngineProcess(name, Source(path, "", precision, batch, SHAPE, threads=1))


def test_the_table_has_the_names_that_parameters_know():
    assert tuple(ENGINES) == NAMES


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_is_here_or_says_why_not(name):
    reason = ENGINES[name].available()
    if reason is None:
        assert ENGINES[name].version()
        assert "fp32" in ENGINES[name].precisions()
    else:
        assert reason.endswith(".")
        with pytest.raises(ValueError, match=f"Engine {name} cannot be used here: "):
            engine(name)


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="Unknown engine 'abacus'; choose from openvino"):
        engine("abacus")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", FILES)
def test_it_computes_what_the_file_says(files, residual_case, name, precision):
    inputs = residual_case.inputs.numpy()
    expected = ran(files[precision][1].proto, inputs)
    with opened(files, name, precision) as process:
        whole = process.run(inputs)
        odd = process.run(inputs[:3])
    # one code of one input more or less is allowed where a value is half-way between two
    assert np.abs(whole - expected).max() < (1e-4 if precision == "fp32" else 0.05) * np.abs(expected).max()
    assert odd == pytest.approx(whole[:3], abs=1e-5)


@pytest.mark.parametrize("name", FILES)
def test_times_are_positive_and_layers_have_the_files_names(files, name):
    with opened(files, name, "fp32") as process:
        times = process.latency(0.02)
        layers = process.per_layer(2)
        memory = process.peak_bytes()
    assert times
    assert min(times) > 0
    named = {site_of(node, files["fp32"][1].nodes) for layer in layers for node in layer.nodes}
    if name == "onnxruntime":  # it renames what it fuses
        assert "fc" in named
    else:
        assert {"stem", "block.conv1", "block.conv2", "depthwise", "fc"} <= named
    assert all(layer.precision in ("fp32", "") for layer in layers)
    assert 10e6 < memory < 2e9


def test_openvino_runs_every_quantized_site_in_int8(files):
    net = files["int8"][1]
    with opened(files, "openvino", "int8") as process:
        found = int8_sites(process.int8_layers(), net.nodes)
        sites = gathered(process.per_layer(2), net.nodes, {}).sites
    assert found == {call.site for call in net.calls}
    assert {site: entry.ran for site, entry in sites.items() if entry.ms} == dict.fromkeys(found, "int8")


def test_openvino_runs_a_partial_plan_as_it_is(residual_case, tmp_path):
    from qanalysis.schema.plan import Plan

    net = residual_case.network(Plan(skip=frozenset({"block.conv1", "fc"})))
    path = tmp_path / "partial.onnx"
    path.write_bytes(net.proto.SerializeToString())
    with EngineProcess("openvino", Source(str(path), "", "int8", 4, SHAPE, 1)) as process:
        assert int8_sites(process.int8_layers(), net.nodes) == {"stem", "block.conv2", "depthwise"}


@torch.no_grad()
def test_pytorch_runs_the_model_itself():
    from qanalysis import models

    source = Source("", "sample:resnet20", "fp32", 2, (3, 32, 32), threads=1)
    inputs = np.random.default_rng(0).standard_normal((2, 3, 32, 32), np.float32)
    expected = models.load("sample:resnet20").module(torch.from_numpy(inputs)).numpy()
    with EngineProcess("torch", source) as process:
        assert process.run(inputs) == pytest.approx(expected, abs=1e-4)
        assert process.int8_layers() == frozenset()


class TestFailure:
    def test_a_crash_is_an_error_that_names_engine_and_signal(self, files):
        with opened(files, "openvino", "fp32") as process:
            os.kill(process.pid, signal.SIGSEGV)
            with pytest.raises(
                ValueError, match=r"Engine openvino crashed in latency \(batch 4, fp32\) by signal SIGSEGV"
            ):
                process.latency(0.01)

    def test_a_kill_is_most_likely_for_lack_of_memory(self, files):
        with opened(files, "openvino", "fp32") as process:
            os.kill(process.pid, signal.SIGKILL)
            with pytest.raises(ValueError, match="lack of memory: use a smaller batch"):
                process.latency(0.01)

    @pytest.mark.parametrize("name", FILES)
    def test_a_file_that_is_none_is_one_sentence(self, tmp_path, name):
        path = tmp_path / "broken.onnx"
        path.write_bytes(b"\x08\x07nonsense")
        with pytest.raises(ValueError, match="cannot execute the network in fp32") as error:
            EngineProcess(name, Source(str(path), "", "fp32", 1, SHAPE, 1))
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("name", FILES)
    def test_a_missing_file_is_one_sentence(self, tmp_path, name):
        with pytest.raises(ValueError, match="cannot execute the network"):
            EngineProcess(name, Source(str(tmp_path / "none.onnx"), "", "fp32", 1, SHAPE, 1))

    def test_a_batch_too_large_for_memory_says_so(self, files):
        def measure():
            with opened(files, "openvino", "fp32", batch=10**9) as process:
                process.latency(0.01)

        with pytest.raises(ValueError, match=r"not enough memory for batch \d+ in fp32: use a smaller|lack of memory"):
            measure()

    def test_nothing_is_left_behind(self, files):
        import psutil

        with opened(files, "openvino", "fp32") as process:
            pid = process.pid
            assert psutil.pid_exists(pid)
        assert not psutil.pid_exists(pid)


NODES = {"a/Conv": "a", "a/input/QuantizeLinear": "a", "b/MatMul": "b", "b/input/QuantizeLinear": "b"}


class TestLayers:
    def layer(self, name, nodes=(), kind="Convolution", precision="int8", ms=1.0):
        return LayerTime(name, tuple(nodes), kind, "kernel", precision, ms)

    def test_a_product_is_charged_to_its_site_though_the_next_ones_rounding_is_fused(self):
        found = gathered((self.layer("a/Conv", ["a/Conv", "relu/Relu", "b/input/QuantizeLinear"]),), NODES, {})
        assert {site: entry.ms for site, entry in found.sites.items()} == {"a": 1.0}

    def test_conversions_are_charged_to_who_needs_them(self):
        layers = (
            self.layer("b/input/QuantizeLinear", ["b/input/QuantizeLinear"], "Subgraph", "fp32", 0.25),
            self.layer("x_abcd_acdb_a/Conv/WithoutBiases", [], "Reorder", "", 0.5),
        )
        found = gathered(layers, NODES, {})
        assert {site: entry.conversion_ms for site, entry in found.sites.items()} == {"b": 0.25, "a": 0.5}
        assert found.other_ms == 0

    def test_an_addition_with_rounding_is_no_conversion(self):
        layer = self.layer("add", ["block/Add", "b/input/QuantizeLinear"], "Subgraph", "fp32", 2.0)
        found = gathered((layer,), NODES, {})
        assert found.other_ms == 2.0
        assert found.total_ms == 2.0

    def test_fused_sites_share_by_their_multiply_accumulates(self):
        layer = self.layer("ab", ["a/Conv", "b/MatMul"], "Subgraph", "int8", 4.0)
        found = gathered((layer,), NODES, {"a": 3, "b": 1}).sites
        assert (found["a"].ms, found["b"].ms) == (3.0, 1.0)
        assert found["a"].fused_with == ("b",)

    def test_upstream_names_the_sites_before(self, residual_case):
        found = upstream(residual_case.network())
        assert found["stem"] == {"input": ()}
        assert found["block.conv2"] == {"input": ("block.conv1",)}
        assert set(found["depthwise"]["input"]) == {"block.conv2", "stem"}


OWNER = """
import sys, time
from qanalysis.engines.process import EngineProcess
from qanalysis.engines.protocol import Source
from tests.engines.conftest import case, prepared, ran
process = EngineProcess("onnxruntime", Source(sys.argv[1], "", "fp32", 1, (3, 8, 8), 1))
print(process.pid, process._folder.name, flush=True)
time.sleep(60)
"""


def test_an_engine_ends_with_its_owner_and_leaves_nothing(files):
    owner = subprocess.Popen([sys.executable, "-c", OWNER, files["fp32"][0]], stdout=subprocess.PIPE, text=True)
    pid, folder = owner.stdout.readline().split()
    owner.kill()
    owner.wait()
    owner.stdout.close()
    deadline = time.monotonic() + 10
    while psutil.pid_exists(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(int(pid))
    assert not Path(folder).exists()


class Scaled(torch.nn.Module):
    """Convolutions (one depthwise) whose outputs are scaled, as by norms that are not folded."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.depthwise = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.last = torch.nn.Conv2d(8, 4, 1)
        self.register_buffer("scale", torch.linspace(0.5, 1.5, 8).view(1, 8, 1, 1))

    def forward(self, x):
        x = torch.relu(self.first(x) * self.scale + 0.1)
        x = torch.relu(self.depthwise(x) * self.scale - 0.1)
        return self.last(x).mean((2, 3))


def test_openvino_layers_are_found_where_a_scale_takes_their_names(tmp_path):
    net = case(prepared(Scaled)).network()
    path = tmp_path / "scaled.onnx"
    path.write_bytes(net.proto.SerializeToString())
    with EngineProcess("openvino", Source(str(path), "", "int8", 4, SHAPE, 1)) as process:
        found = int8_sites(process.int8_layers(), net.nodes)
        times = gathered(process.per_layer(2), net.nodes, {}).sites
    assert found == {"first", "depthwise", "last"}
    assert {site for site, entry in times.items() if entry.ran == "int8"} == found


class NormRelu(torch.nn.BatchNorm2d):
    def forward(self, x):
        return torch.relu(super().forward(x))


def test_nothing_is_left_in_a_file_of_a_folded_norm_with_an_activation():
    torch.manual_seed(0)
    norm = NormRelu(4)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 2.0, -1.0, 1.5]))
        norm.bias.uniform_(-1, 1)
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), norm, torch.nn.Flatten(), torch.nn.Linear(144, 5)).eval()
    given = case(module)
    assert given.folded.pairs == (("0", "1"),)
    net = given.network()
    assert "BatchNormalization" not in {node.op_type for node in net.proto.graph.node}
    expected = given.simulation()(given.inputs).detach().numpy()
    assert np.abs(ran(net.proto, given.inputs.numpy()) - expected).max() < 0.02 * np.abs(expected).max()
