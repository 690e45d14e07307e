"""What cannot be exported is refused in one sentence that names it and where it is."""

import errno

import pytest

from qanalysis.engines.export import files
from qanalysis.engines.export.graph import network
from qanalysis.engines.export.operands import FLOAT
from qanalysis.engines.reference import Reference
from qanalysis.schema.plan import Override, Plan
from tests.engines.conftest import case, traced
from tests.engines.networks import Branching, DynamicWeight, Unsupported, images, prepared


def test_an_operator_without_an_onnx_form_is_named_with_its_place():
    with pytest.raises(
        ValueError, match=r"operator \S*bessel_j0\S* in module 'odd' after site 'conv' has no ONNX form"
    ):
        traced(prepared(Unsupported), images())


def test_code_that_cannot_be_traced_is_named_by_the_site_before(capfd):
    with pytest.raises(ValueError, match="what it computes after site 'conv' cannot be traced") as error:
        traced(prepared(Branching), images())
    assert "\n" not in str(error.value)
    assert "conv2d" not in "".join(capfd.readouterr())


def test_a_weight_computed_from_the_input_is_named():
    dynamic = case(prepared(DynamicWeight))
    name = next(
        call.site for call in network(dynamic.traced, FLOAT).calls if "conv" in call.site or call.site == "model"
    )
    with pytest.raises(ValueError, match=f"Site '{name}' cannot be exported in int8: its weight is computed"):
        dynamic.network()
    assert dynamic.network(Plan(skip=frozenset({name}))).calls


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(weight_bits=4), "weights of site 'stem' have 4 bits"),
        (Plan(overrides={"fc": Override(activation_bits=6)}), "activations of site 'fc' have 6 bits"),
        (Plan(activation_scheme="affine"), "activations of site 'stem' have a zero point"),
        (Plan(weight_scheme="affine"), "weights of site 'stem' have a zero point"),
        (Plan(parts="weights"), "quantizes weights only"),
    ],
)
def test_plans_that_integer_kernels_do_not_compute_are_refused(residual_case, plan, message):
    with pytest.raises(ValueError, match=message):
        residual_case.operands(plan)


def test_low_bits_at_a_skipped_site_are_no_obstacle(residual_case):
    plan = Plan(overrides={"fc": Override(weight_bits=4)}).skipping("fc")
    assert "fc" not in residual_case.operands(plan).sites


def test_a_file_that_is_no_network_is_refused(residual_case):
    proto = network(residual_case.traced, FLOAT).proto
    proto.graph.node[0].op_type = "Nonsense"
    with pytest.raises(ValueError, match="cannot be loaded"):
        Reference(proto)


def test_a_folder_that_cannot_be_made_is_found_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot be written to .*file"):
        files.check_writable(tmp_path / "file" / "folder")


def test_a_full_disk_leaves_no_half_file(residual_case, tmp_path, monkeypatch):
    from pathlib import Path

    def full(self, data):
        self.open("wb").write(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    net, operands = residual_case.network(), residual_case.operands()
    floating = network(residual_case.traced, FLOAT)
    with pytest.raises(OSError, match="No space left"):
        files.write(tmp_path, "net", ("onnx",), net, floating, operands, residual_case.ranges, {})
    assert list(tmp_path.iterdir()) == []
