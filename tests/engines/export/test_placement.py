"""Where rounding is put for the sake of speed: both operands of additions, before max pools, unsigned behind ReLU."""

import importlib.util

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional as F

from qanalysis.engines.export.graph import network
from qanalysis.engines.export.operands import FLOAT
from qanalysis.engines.export.parity import first_wrong
from qanalysis.engines.export.pools import round_before_pools
from qanalysis.engines.export.unsigned import unsigned
from qanalysis.engines.layers import int8_sites
from qanalysis.engines.process import EngineProcess
from qanalysis.engines.protocol import Source
from qanalysis.engines.reference import Reference
from qanalysis.nn.residual import ResidualMode, observe_residuals
from qanalysis.schema.plan import Plan
from qanalysis.schema.site import TensorId
from tests.engines.conftest import case, ran
from tests.engines.networks import images, prepared

ADDITIONS = {"first:add_0": "first.conv2", "second:add_0": "second.conv2"}


def producers(proto):
    return {name: node for node in proto.graph.node for name in node.output}


def kinds_before(proto, tensor, count):
    """Operators that lead to a tensor, the last first, along first inputs."""
    found = []
    makers = producers(proto)
    while len(found) < count and tensor in makers:
        found.append(makers[tensor].op_type)
        tensor = makers[tensor].input[0]
    return found


def input_of(net, site):
    """What the convolution of a site reads in the file."""
    return next(node.input[0] for node in net.proto.graph.node if node.name == f"{site}/Conv")


class TestBothOperands:
    @torch.no_grad()
    def test_the_file_computes_what_the_simulation_does(self, pooled_case):
        operands = pooled_case.operands(residual="int8-both")
        net = network(pooled_case.traced, operands)
        onnx.checker.check_model(net.proto, full_check=True)
        assert first_wrong(pooled_case.differences(net, operands)) is None
        file = ran(net.proto, pooled_case.inputs.numpy())
        simulated = pooled_case.simulation(residual="int8-both")(pooled_case.inputs).numpy()
        assert file == pytest.approx(simulated, abs=1e-4)
        for other in ("fp", "int8"):
            different = pooled_case.simulation(residual=other)(pooled_case.inputs).numpy()
            assert not np.allclose(file, different, atol=1e-4), other

    def test_both_inputs_of_every_addition_are_dequantized(self, pooled_case):
        proto = pooled_case.network(residual="int8-both").proto
        additions = [node for node in proto.graph.node if node.op_type == "Add"]
        makers = producers(proto)
        assert len(additions) == len(ADDITIONS)
        assert {makers[name].op_type for node in additions for name in node.input} == {"DequantizeLinear"}

    def test_what_each_option_rounds(self, pooled_case):
        assert pooled_case.traced.residuals == ADDITIONS
        both = {TensorId(name, role) for name in ADDITIONS for role in ("residual", "product")}
        added = lambda option: {t for t in pooled_case.operands(residual=option).steps if ":add_" in t.site}  # noqa: E731
        assert added("fp") == set()
        assert added("int8") == {tensor for tensor in both if tensor.role == "residual"}
        assert added("int8-both") == both

    def test_an_addition_stays_in_floating_point_where_its_convolution_does(self, pooled_case):
        operands = pooled_case.operands(Plan(skip=frozenset({"first.conv2"})), "int8-both")
        assert {t.site for t in operands.steps if ":add_" in t.site} == {"second:add_0"}
        assert "first:add_0" not in operands.sites

    def test_roles_survive_json(self):
        for role in ("residual", "product"):
            tensor = TensorId("layer1.0:add_0", role)
            assert TensorId.parse(str(tensor)) == tensor

    @torch.no_grad()
    def test_ranges_are_those_of_what_is_added(self, pooled_case):
        """Against hooks on the batch norms, which give one operand, and on the convolution that is the other."""
        module = pooled_case.module
        largest = {}

        def keep(name):
            return lambda _, __, output: largest.update({name: float(output.abs().max())})

        hooks = [module.first.bn2.register_forward_hook(keep("first:add_0/product"))]
        hooks += [module.down.register_forward_hook(keep("first:add_0/residual"))]
        hooks += [module.second.bn2.register_forward_hook(keep("second:add_0/product"))]
        seen = {str(t): h.amax for t, h in observe_residuals(module, [pooled_case.inputs]).items()}
        # additions in place change what the hooks of batch norms hand out only after they have run
        for hook in hooks:
            hook.remove()
        for name, amax in largest.items():
            assert seen[name] == pytest.approx(amax, rel=1e-6), name
        alone = observe_residuals(module, [pooled_case.inputs], ("residual",))
        assert {tensor.role for tensor in alone} == {"residual"}

    @torch.no_grad()
    def test_an_addition_in_place_is_seen_by_who_holds_the_operand(self):
        class InPlace(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv = nn.Conv2d(3, 3, 3, padding=1)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                y = self.conv(x)
                y.add_(x)
                return y.mean((2, 3))

        torch.manual_seed(0)
        some = case(InPlace().eval())
        assert some.traced.residuals == {"model:add_0": "conv"}
        x = some.inputs
        with ResidualMode(some.module, lambda call: call.compute(), lambda addition: addition.compute()):
            assert torch.equal(some.module(x), some.module(x))
        file = ran(some.network(residual="int8-both").proto, x.numpy())
        assert file == pytest.approx(some.simulation(residual="int8-both")(x).numpy(), abs=1e-5)
        floating = (F.conv2d(x, some.module.conv.weight, some.module.conv.bias, padding=1) + x).mean((2, 3))
        assert np.abs(file - floating.numpy()).max() < 0.1 * floating.abs().max()


class TestPools:
    def test_rounding_comes_before_the_pool(self, pooled_case):
        net = pooled_case.network()
        assert [pool.op_type for pool in net.pools] == ["MaxPool"]
        for site in ("first.conv1", "down"):
            steps = kinds_before(net.proto, input_of(net, site), 4)
            assert steps == ["MaxPool", "DequantizeLinear", "QuantizeLinear", "Relu"]

    def test_nothing_changes(self, pooled_case):
        """Against the file with the pool's rounding moved back behind it by hand."""
        net = pooled_case.network()
        back = onnx.ModelProto()
        back.CopyFrom(net.proto)
        nodes = list(back.graph.node)
        pool = next(node for node in nodes if node.op_type == "MaxPool")
        makers = producers(back)
        real = makers[pool.input[0]]
        codes = makers[real.input[0]]
        pooled = pool.output[0]
        for node in nodes:
            node.input[:] = [real.output[0] if name == pooled else name for name in node.input]
        pool.input[0], codes.input[0] = codes.input[0], pooled
        nodes = [node for node in nodes if node is not codes and node is not real]
        place = next(i for i, node in enumerate(nodes) if node is pool)
        nodes[place + 1 : place + 1] = [codes, real]
        del back.graph.node[:]
        back.graph.node.extend(nodes)
        x = pooled_case.inputs.numpy()
        assert (ran(net.proto, x) == ran(back, x)).all()

    @pytest.mark.parametrize("skip", [("down",), ("first.conv1",), ("first.conv1", "down")])
    def test_it_stays_behind_where_a_consumer_is_in_floating_point(self, pooled_case, skip):
        plan = Plan(skip=frozenset(skip))
        net = pooled_case.network(plan)
        assert net.pools == ()
        makers = producers(net.proto)
        pool = next(node for node in net.proto.graph.node if node.op_type == "MaxPool")
        assert makers[pool.input[0]].op_type == "Relu"
        for site in skip:
            assert makers[input_of(net, site)].op_type == "MaxPool"
        operands = pooled_case.operands(plan)
        assert first_wrong(pooled_case.differences(net, operands)) is None

    def test_it_stays_behind_where_steps_differ(self, pooled_case):
        operands = pooled_case.operands()
        steps = dict(operands.steps)
        steps[TensorId("down", "input")] *= np.float32(0.5)
        other = type(operands)(steps, operands.codes)
        assert network(pooled_case.traced, other).pools == ()

    def test_a_wrong_step_before_the_pool_is_found(self, pooled_case):
        operands = pooled_case.operands()
        net = network(pooled_case.traced, operands)
        for tensor in net.proto.graph.initializer:
            if tensor.name in ("first.conv1/input/scale", "down/input/scale"):
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.3), tensor.name))
        found = first_wrong(pooled_case.differences(net, operands))
        assert found is not None
        assert "at site 'down'" in found

    def test_pools_in_a_row(self):
        class Row(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.stem, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return self.last(F.max_pool2d(F.max_pool2d(self.stem(x), 2), 3, 1, padding=1)).mean((2, 3))

        some = case(prepared(Row))
        net = some.network()
        assert len(net.pools) == 2
        wanted = ["MaxPool", "MaxPool", "DequantizeLinear", "QuantizeLinear", "Conv"]
        assert kinds_before(net.proto, input_of(net, "last"), 5) == wanted
        assert first_wrong(some.differences(net, some.operands())) is None

    def test_a_pool_in_floating_point_is_left_alone(self, pooled_case):
        net = network(pooled_case.traced, FLOAT)
        nodes = list(net.proto.graph.node)
        same, pools = round_before_pools(nodes, frozenset())
        assert same == nodes
        assert pools == ()


class TestUnsigned:
    @pytest.mark.parametrize("residual", ["fp", "int8", "int8-both"])
    def test_every_logit_is_the_same(self, any_case, residual):
        proto = any_case.network(residual=residual).proto
        changed = unsigned(proto)
        onnx.checker.check_model(changed, full_check=True)
        x = any_case.inputs.numpy()
        assert (ran(proto, x) == ran(changed, x)).all()

    def test_values_over_the_range_are_clipped_alike(self, pooled_case):
        """Images ten times as bright leave every range that was calibrated."""
        proto = pooled_case.network(residual="int8-both").proto
        x = 10 * pooled_case.inputs.numpy()
        relus = [node.output[0] for node in proto.graph.node if node.op_type == "Relu"]
        reached = Reference(proto, relus).tensors({"input": x})
        steps = {node.input[0]: node.input[1] for node in proto.graph.node if node.op_type == "QuantizeLinear"}
        constants = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
        assert any(reached[name].max() > 140 * constants[steps[name]] for name in relus if name in steps)
        assert (ran(proto, x) == ran(unsigned(proto), x)).all()

    def test_codes_behind_relu_are_unsigned_and_no_others(self, pooled_case):
        proto = unsigned(pooled_case.network(residual="int8-both").proto)
        types = {t.name: t.data_type for t in proto.graph.initializer}
        makers = producers(proto)
        found = {"u8": 0, "s8": 0}
        for node in proto.graph.node:
            if node.op_type == "QuantizeLinear":
                clipped = node.input[0] in makers and makers[node.input[0]].op_type == "Clip"
                assert (types[node.input[2]] == onnx.TensorProto.UINT8) == clipped, node.name
                found["u8" if clipped else "s8"] += 1
        assert found == {"u8": 4, "s8": 5}  # behind four ReLUs; image, three operands of additions, the mean

    def test_the_signed_file_is_not_changed(self, pooled_case):
        proto = pooled_case.network().proto
        before = proto.SerializeToString()
        unsigned(proto)
        assert proto.SerializeToString() == before

    def test_a_relu_that_something_else_reads_stays(self, pooled_case):
        """With additions in floating point, what leaves the first block is also the second one's skip."""
        proto = unsigned(pooled_case.network().proto)
        makers = producers(proto)
        shared = next(n for n in proto.graph.node if n.name == "second.conv1/input/QuantizeLinear")
        assert makers[shared.input[0]].op_type == "Relu"

    def test_without_integers_nothing_happens(self, pooled_case):
        proto = network(pooled_case.traced, FLOAT).proto
        assert unsigned(proto) == proto


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed")
class TestOpenVino:
    def test_pool_and_additions_run_on_bytes(self, pooled_case, tmp_path):
        net = pooled_case.network(residual="int8-both")
        path = tmp_path / "net.onnx"
        path.write_bytes(net.proto.SerializeToString())
        bright = 10 * images(64).numpy()  # outside of the ranges
        with EngineProcess("openvino", Source(str(path), "", "int8", 64, (3, 8, 8), 1)) as process:
            layers = process.per_layer(5)
            sites = int8_sites(process.int8_layers(), net.nodes)
            found = {"calibrated": process.run(images(64).numpy()), "bright": process.run(bright)}
        assert sites == {call.site for call in net.calls}
        kernels = {name: layer.kernel for layer in layers for name in layer.nodes}
        for name in ("pool/MaxPool", "first/Add", "second/Add"):
            assert kernels[name].endswith("_I8"), name
        for name, inputs in (("calibrated", images(64).numpy()), ("bright", bright)):
            difference = np.abs(found[name] - ran(net.proto, inputs))
            assert np.median(difference) < 1e-5, name  # a code may be one more or less where a value is half-way
            assert difference.max() < 0.1, name
