"""`qanalysis export`: files, the result that states how far they agree, and what is refused."""

import json
import os
from pathlib import Path

import onnx
import pytest

import qanalysis
from qanalysis.analysis.export import beyond_half
from qanalysis.cli import main
from qanalysis.schema import trained
from qanalysis.schema.analyses import ANALYSES
from qanalysis.schema.site import TensorId

COUNTS = ["--calibration-samples", "16", "--evaluation-samples", "64", "--batch-size", "32"]


def failed(capsys, *arguments: str) -> str:
    assert main(["export", *COUNTS, *arguments]) == 1
    message = capsys.readouterr().err.strip()
    assert message.count("\n") == 0
    assert "Traceback" not in message
    return message


def test_every_flavour_is_written_and_verified(tmp_path, capsys):
    out = tmp_path / "out.json"
    flavours = "onnx,onnx-fp16,onnx-fp32,openvino,calibration,tensorrt-cache"
    given = ["--flavours", flavours, "--output", str(tmp_path / "files"), "--json", str(out)]
    assert main(["export", *COUNTS, *given]) == 0
    result = ANALYSES["export"].result.load(out)
    assert {file.flavour for file in result.files} == set(flavours.split(","))
    for file in result.files:
        assert (Path(result.folder) / file.name).stat().st_size == file.bytes
    assert {path.name for path in Path(result.folder).iterdir()} == {file.name for file in result.files}
    seen = result.verification
    assert seen.agreement >= 98
    assert abs(seen.measured - seen.simulated) <= 2
    assert max(max(site.before, site.output) for site in seen.sites) < 1e-4
    assert seen.half_agreement is not None
    assert seen.half_agreement >= 95
    assert len(result.quantized_sites) == 22
    assert "every site computes what the simulation does" in " ".join(capsys.readouterr().out.split())
    stored = onnx.load(Path(result.folder) / "resnet20_int8.onnx")
    about = {entry.key: entry.value for entry in stored.metadata_props}
    assert about["model"] == "sample:resnet20"
    assert json.loads(about["plan"])["weight_bits"] == 8
    assert (Path(result.folder) / "resnet20_int8.onnx").stat().st_size < 0.3 * result.fp32_bytes


def test_without_an_output_the_files_go_to_the_jobs_folder(tmp_path):
    from qanalysis.analysis.measure.progress import silent
    from qanalysis.schema.analyses import ANALYSES

    params = ANALYSES["export"].params(
        model="sample:vit@none", calibration_samples=8, evaluation_samples=8, skip=("head",)
    )
    result = ANALYSES["export"].run(params, silent, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["vit_none_int8.onnx"]
    assert result.float_sites == {"head": "skipped by the plan"}
    assert len(result.quantized_sites) == 38


def test_int8_residuals_are_named(tmp_path):
    result = qanalysis.run(
        "export",
        folder=tmp_path,
        model="sample:mobilenet_v2",
        residual="int8",
        calibration_samples=8,
        evaluation_samples=8,
    )
    assert len(result.residuals) == 10
    assert result.residuals[0] == "blocks.2:add_0"


def test_both_operands_of_additions_are_simulated_alike(tmp_path):
    result = qanalysis.run(
        "export",
        folder=tmp_path,
        model="sample:resnet20",
        residual="int8-both",
        flavours=("onnx", "openvino"),
        calibration_samples=64,
        evaluation_samples=200,
    )
    assert len(result.residuals) == 9
    assert result.verification.agreement >= 99.5
    assert max(max(site.before, site.output) for site in result.verification.sites) < 1e-4
    stored = onnx.load(Path(result.folder) / "resnet20_int8.onnx")
    added = {node.name.rpartition("/")[0] for node in stored.graph.node if node.op_type == "QuantizeLinear"}
    assert {f"{name}/{role}" for name in result.residuals for role in ("product",)} <= added
    assert (Path(result.folder) / "resnet20_int8.bin").exists()


def test_low_bits_are_refused_naming_a_site(capsys, tmp_path):
    assert "of site 'conv1' have 4 bits" in failed(capsys, "--bits", "4", "--output", str(tmp_path))


def test_a_plan_for_another_model_is_refused(capsys, tmp_path):
    from qanalysis.schema.plan import Plan
    from qanalysis.schema.saved_plan import SavedPlan

    path = tmp_path / "plan.json"
    SavedPlan(name="other", model="sample:vit", sites=("head",), plan=Plan()).save(path)
    message = failed(capsys, "--plan", str(path), "--output", str(tmp_path))
    assert "was made for sample:vit, not for this model" in message


def test_a_folder_without_permission_is_found_before_the_work(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be written to" in failed(capsys, "--output", str(tmp_path / "file"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(capsys, tmp_path):
    tmp_path.chmod(0o500)
    assert "cannot be written to" in failed(capsys, "--output", str(tmp_path))


def test_an_unknown_flavour_is_named(capsys):
    assert "Unknown flavour 'gguf'; choose from onnx, onnx-fp16" in failed(capsys, "--flavours", "gguf")


def test_a_missing_package_is_named_with_the_way_to_get_it(capsys, monkeypatch, tmp_path):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "onnx" else found(name, *rest))
    message = failed(capsys, "--output", str(tmp_path))
    assert "needs the package onnx: install it with pip install 'qanalysis[engines]'" in message


def test_a_file_that_computes_something_else_is_refused_with_the_site(capsys, monkeypatch, tmp_path):
    from qanalysis.engines.export import graph

    def wrong(self, tensor, source, step):
        return original(self, tensor, source, step * 2 if tensor.site == "layer2.0.conv1" else step)

    original = graph._Builder._activation
    monkeypatch.setattr(graph._Builder, "_activation", wrong)
    message = failed(capsys, "--output", str(tmp_path))
    assert "does not compute what the simulation does" in message
    assert "at site 'layer2.0.conv1'" in message


@pytest.mark.parametrize(
    ("largest", "words"),
    [
        ({"a": 1.0, "b": 0.0}, ""),
        ({"a": 1.0, "b": 2e-7, "c": 1e-9}, "From 'b' on its activations are too small: the largest there is 2.0e-07"),
        ({"a": 7e4}, "'a' reaches 7.0e+04, over the largest number of fp16, 65504"),
    ],
)
def test_why_an_fp16_file_disagrees(largest, words):
    said = beyond_half({TensorId(site, "input"): amax for site, amax in largest.items()})
    assert words in said
    assert bool(said) == bool(words)


def test_a_fine_tuned_network_is_exported_with_the_ranges_it_learned(tmp_path):
    quick = {"train_samples": 32, "train_batch_size": 16, "evaluation_samples": 32, "calibration_samples": 16}
    qanalysis.run(
        "qat",
        folder=tmp_path,
        model="sample:resnet20",
        steps=2,
        ranges="learned",
        control=False,
        calibration="max",
        **quick,
    )
    result = qanalysis.run(
        "export",
        model=f"checkpoint:{tmp_path / 'qat.safetensors'}",
        calibration="trained",
        calibration_samples=16,
        evaluation_samples=64,
        flavours=("onnx", "calibration"),
        output=str(tmp_path / "files"),
    )
    assert len(result.quantized_sites) == 22
    assert result.verification.agreement >= 98
    written = json.loads((tmp_path / "files" / "qat_calibration.json").read_text())
    learned = trained.read(tmp_path / "qat.safetensors").ranges
    assert written["calibration"] == "trained"
    for entry in written["activations"]:
        assert entry["amax"] == pytest.approx(learned[entry["site"]][1], rel=1e-6)
