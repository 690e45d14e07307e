"""The file computes what the simulation does: integers, site by site, end to end, and under every kind of plan."""

import json
import struct

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from qanalysis.engines.export.calibration import as_json, as_tensorrt_cache
from qanalysis.engines.export.graph import network
from qanalysis.engines.export.half import to_half
from qanalysis.engines.export.operands import FLOAT
from qanalysis.engines.export.parity import Deployed, first_wrong
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.schema.plan import Plan
from tests.engines.conftest import ran
from tests.engines.networks import Transposed


def constants(proto):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}


def kinds(proto):
    return [node.op_type for node in proto.graph.node]


def quantized_sites(net):
    """Sites whose computing nodes read a DequantizeLinear, or a max pool of it, from the file alone."""
    makers = {output: node for node in net.proto.graph.node for output in node.output}
    makers |= {n.output[0]: makers[n.input[0]] for n in net.proto.graph.node if n.op_type == "MaxPool"}
    found = set()
    for node in net.proto.graph.node:
        site = net.nodes.get(node.name)
        if site and node.op_type in ("Conv", "ConvTranspose", "MatMul", "Gemm", "Einsum"):
            sources = [makers.get(name) for name in node.input[:2]]
            if all(source is not None and source.op_type == "DequantizeLinear" for source in sources):
                found.add(site)
    return found


def test_every_site_is_int8_and_the_file_is_valid(any_case):
    net = any_case.network()
    onnx.checker.check_model(net.proto, full_check=True)
    assert [entry.version for entry in net.proto.opset_import] == [19]
    assert net.proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert quantized_sites(net) == {call.site for call in net.calls}


def test_every_site_computes_what_the_simulation_does(any_case):
    operands = any_case.operands()
    found = any_case.differences(network(any_case.traced, operands), operands)
    assert first_wrong(found) is None
    assert max(entry.largest for entry in found) < 1e-5


@torch.no_grad()
def test_the_whole_network_is_as_near_to_the_simulation_as_float32_to_float64(any_case):
    import copy

    operands = any_case.operands()
    exact = Deployed(copy.deepcopy(any_case.folded.model).double(), operands)(any_case.inputs.double()).numpy()
    file = ran(any_case.network().proto, any_case.inputs.numpy())
    single = Deployed(any_case.folded.model, operands)(any_case.inputs).numpy()
    noise = np.abs(single - exact).max()
    assert np.abs(file - exact).max() <= 10 * noise + 1e-5 * np.abs(exact).max()


@torch.no_grad()
def test_the_whole_network_gives_the_simulations_logits(any_case):
    file = ran(any_case.network().proto, any_case.inputs.numpy())
    simulated = QuantizedModel(any_case.module, Plan(), any_case.ranges)(any_case.inputs).numpy()
    floating = any_case.module(any_case.inputs).numpy()
    # factors of a grouped transposed convolution do not lie along one axis: its weights are quantized after folding
    part = 0.3 if isinstance(any_case.module, Transposed) else 0.1
    assert np.linalg.norm(file - simulated) < part * np.linalg.norm(simulated - floating)


@torch.no_grad()
def test_the_floating_point_file_gives_the_models_logits(any_case):
    proto = network(any_case.traced, FLOAT).proto
    assert "DequantizeLinear" not in kinds(proto)
    expected = any_case.module(any_case.inputs).numpy()
    assert ran(proto, any_case.inputs.numpy()) == pytest.approx(expected, abs=1e-4 * float(np.abs(expected).max()))


@torch.no_grad()
def test_weights_are_those_of_the_simulation_times_the_batch_norms_factor(residual_case):
    from qanalysis.kernels.quantize import fake_quantize, max_weight_params
    from qanalysis.nn.fold import factor
    from qanalysis.numerics.spec import QuantizerSpec

    module = residual_case.module
    weight = module.stem.weight
    simulated = fake_quantize(weight, max_weight_params(weight, QuantizerSpec(channel_axis=0)))
    c = factor(module.bn).float().view(-1, 1, 1, 1)
    stored = constants(residual_case.network().proto)
    codes, step = stored["stem/weight/codes"], stored["stem/weight/scale"]
    assert codes.dtype == np.int8
    assert codes.min() >= -127
    values = codes.astype(np.float32) * step.reshape(-1, 1, 1, 1)
    live = (c != 0).flatten().numpy()
    assert values[live] == pytest.approx((simulated * c).numpy()[live], rel=1e-5, abs=1e-8)
    assert not live.all()
    assert (step > 0).all()


@pytest.mark.parametrize("skip", [("stem",), ("block.conv2", "fc"), ("stem", "block.conv1", "block.conv2", "fc")])
def test_partial_plans_leave_the_skipped_sites_in_floating_point(residual_case, skip):
    plan = Plan(skip=frozenset(skip))
    net = residual_case.network(plan)
    onnx.checker.check_model(net.proto, full_check=True)
    assert quantized_sites(net) == {call.site for call in net.calls} - set(skip)
    stored = constants(net.proto)
    assert all(f"{site}/weight/codes" not in stored for site in skip)
    operands = residual_case.operands(plan)
    assert first_wrong(residual_case.differences(net, operands)) is None


@torch.no_grad()
def test_residuals_in_int8_are_simulated_alike(residual_case):
    assert residual_case.traced.residuals == {"block:add_0": "block.conv2"}
    operands = residual_case.operands(residual="int8")
    net = residual_case.network(residual="int8")
    assert kinds(net.proto).count("QuantizeLinear") >= kinds(residual_case.network().proto).count("QuantizeLinear")
    assert first_wrong(residual_case.differences(net, operands)) is None
    file = ran(net.proto, residual_case.inputs.numpy())
    with_residual = residual_case.simulation(residual="int8")(residual_case.inputs)
    without = QuantizedModel(residual_case.module, Plan(), residual_case.ranges)(residual_case.inputs)
    assert file == pytest.approx(with_residual.numpy(), abs=1e-4)
    assert not np.allclose(file, without.numpy(), atol=1e-4)


def test_a_residual_stays_in_floating_point_where_its_convolution_does(residual_case):
    operands = residual_case.operands(Plan(skip=frozenset({"block.conv2"})), residual="int8")
    assert not [tensor for tensor in operands.steps if tensor.role == "residual"]


def test_a_tensor_that_feeds_two_sites_is_quantized_once(residual_case):
    """The block's input feeds its first convolution and, as residual, the addition."""
    kind = kinds(residual_case.network(residual="int8").proto)
    assert kind.count("QuantizeLinear") == len({call.site for call in residual_case.network().calls})


def test_nodes_are_named_by_module_path_and_nothing_tells_of_this_machine(residual_case):
    proto = residual_case.network().proto
    names = [node.name for node in proto.graph.node]
    assert len(set(names)) == len(names)
    assert {"stem/Conv", "block.conv1/Conv", "block.conv2/input/QuantizeLinear", "fc/Gemm"} <= set(names)
    assert b"site-packages" not in proto.SerializeToString()
    assert not any(node.metadata_props or node.doc_string for node in proto.graph.node)


@torch.no_grad()
def test_a_wrong_step_is_found_at_its_site(residual_case):
    operands = residual_case.operands()
    net = network(residual_case.traced, operands)
    for tensor in net.proto.graph.initializer:
        if tensor.name == "block.conv2/input/scale":
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.3), tensor.name))
    found = first_wrong(residual_case.differences(net, operands))
    assert found is not None
    assert "at site 'block.conv2'" in found


@torch.no_grad()
def test_a_wrong_operation_between_sites_is_found_before_the_next(residual_case):
    operands = residual_case.operands()
    net = network(residual_case.traced, operands)
    relu = next(node for node in net.proto.graph.node if node.op_type == "Relu" and node.name.startswith("block"))
    relu.op_type = "Sigmoid"
    found = first_wrong(residual_case.differences(net, operands))
    assert found is not None
    assert "in the input of site 'block.conv2', after 'block.conv1'" in found


class TestHalf:
    def test_everything_but_the_integers_is_fp16(self, any_case):
        proto = to_half(any_case.network().proto)
        onnx.checker.check_model(proto, full_check=True)
        types = {constant.dtype for constant in constants(proto).values()}
        assert np.dtype(np.float32) not in types
        assert np.dtype(np.int8) in types
        assert np.dtype(np.float16) in types

    def test_integers_are_the_same(self, residual_case):
        full, half = (constants(p) for p in (residual_case.network().proto, to_half(residual_case.network().proto)))
        codes = [name for name in full if name.endswith("weight/codes")]
        assert codes
        assert all((full[name] == half[name]).all() for name in codes)

    def test_it_gives_nearly_the_same_logits(self, any_case):
        full = ran(any_case.network().proto, any_case.inputs.numpy())
        half = ran(to_half(any_case.network().proto), any_case.inputs.numpy())
        assert half.dtype == np.float32
        assert np.linalg.norm(half - full) < 0.1 * np.linalg.norm(full)

    def test_a_value_over_the_largest_is_named(self, residual_case):
        proto = residual_case.network().proto
        bias = next(tensor for tensor in proto.graph.initializer if tensor.name == "fc.bias")
        bias.CopyFrom(numpy_helper.from_array(np.full(5, 1e6, np.float32), "fc.bias"))
        with pytest.raises(ValueError, match=r"fc\.bias does not fit into fp16"):
            to_half(proto)


class TestCalibration:
    def test_json_has_every_activation_with_its_step(self, residual_case):
        operands, net = residual_case.operands(), residual_case.network()
        content = json.loads(json.dumps(as_json(net, operands, residual_case.ranges)))
        assert {entry["site"] for entry in content["activations"]} == {call.site for call in net.calls}
        for entry in content["activations"]:
            assert entry["step"] == pytest.approx(entry["amax"] / 127, rel=1e-6)
        assert {entry["site"] for entry in content["weights"]} == {site for site, _ in operands.codes}

    def test_the_cache_is_one_hexadecimal_step_a_tensor(self, residual_case):
        floating = network(residual_case.traced, FLOAT)
        lines = as_tensorrt_cache(floating, residual_case.operands()).splitlines()
        assert lines[0].startswith("TRT-")
        names = {name for node in floating.proto.graph.node for name in node.input}
        first = dict(line.split(": ") for line in lines[1:])
        assert set(first) <= names
        (step,) = struct.unpack(">f", bytes.fromhex(first["input"]))
        stem = next(step for tensor, step in residual_case.operands().steps.items() if tensor.site == "stem")
        assert step == stem
