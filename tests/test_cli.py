"""The command line: results in JSON, one sentence and a non-zero exit code on errors."""

import json

import qanalysis
from qanalysis.cli import main

SMALL = ["--model", "sample:resnet20@none", "--data", "sample:cifar10"]


def failed(capsys, *arguments: str) -> str:
    assert main(arguments) == 1
    message = capsys.readouterr().err.strip()
    assert "Traceback" not in message
    assert message.count("\n") == 0
    return message


def test_ptq_writes_the_documented_json(tmp_path, capsys):
    out = tmp_path / "out.json"
    options = ["--calibrations", "max,percentile:99.9", "--fold-bn", "--weight-granularity", "per-channel"]
    counts = ["--calibration-samples", "16", "--evaluation-samples", "32", "--batch-size", "16", "--bits", "6"]
    assert main(["ptq", *SMALL, *options, *counts, "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    assert 0 <= result["fp32"] <= 100
    assert [row["calibration"] for row in result["rows"]] == ["max", "percentile:99.9"]
    assert {"accuracy", "relative", "standard_error"} <= result["rows"][0].keys()
    assert set(result["ranges"]["max"]) == {site["name"] for site in result["sites"]}
    assert result["sites"][0] == {"name": "conv1", "kind": "convolution", "macs": 16 * 27 * 1024}
    assert len(result["coverage"]["sites"]) == 22
    assert "percentile:99.9" in capsys.readouterr().out


def test_command_line_and_python_agree_to_the_bit(tmp_path):
    out = tmp_path / "out.json"
    counts = ["--calibration-samples", "16", "--evaluation-samples", "32"]
    assert main(["ptq", *SMALL, *counts, "--json", str(out)]) == 0
    here = qanalysis.run("ptq", model=SMALL[1], calibration_samples=16, evaluation_samples=32)
    there = json.loads(out.read_text())
    assert there["rows"] == json.loads(here.model_dump_json())["rows"]
    assert there["ranges"] == json.loads(here.model_dump_json())["ranges"]


def test_a_skipped_site_stays_in_floating_point(tmp_path):
    out = tmp_path / "out.json"
    counts = ["--calibration-samples", "8", "--evaluation-samples", "8", "--calibrations", "max"]
    assert main(["ptq", *SMALL, *counts, "--skip", "fc,conv1", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    assert set(result["float_sites"]) == {"fc", "conv1"}
    assert len(result["quantized_sites"]) == 20


def test_calibrate_keeps_the_histograms(tmp_path):
    from qanalysis.schema.observations import Observations

    assert main(["calibrate", *SMALL, "--calibration-samples", "8", "--keep", str(tmp_path)]) == 0
    assert Observations.load(tmp_path / "observations.npz").samples == 8


def test_describe_lists_sites(capsys):
    assert main(["describe", *SMALL]) == 0
    out = capsys.readouterr().out
    assert "layer1.0.conv1" in out
    assert "22 sites" in out


def test_models_names_every_source(capsys):
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    for source in ("torchvision:", "timm:", "checkpoint:", "python:", "imagefolder:", "npz:"):
        assert source in out


def test_unknown_calibration_is_named(capsys):
    message = failed(capsys, "ptq", *SMALL, "--calibrations", "kl")
    assert "--calibrations: Unknown calibration 'kl'; choose from entropy, max, mse, percentile" in message


def test_bits_out_of_range_are_named(capsys):
    assert "--bits" in failed(capsys, "ptq", *SMALL, "--bits", "9")


def test_zero_calibration_samples_are_refused(capsys):
    assert "--calibration-samples" in failed(capsys, "calibrate", *SMALL, "--calibration-samples", "0")


def test_an_unknown_model_is_named(capsys):
    assert "Unknown model 'resnet20'" in failed(capsys, "describe", "--model", "resnet20")


def test_an_unknown_site_gets_a_hint(capsys):
    message = failed(capsys, "ptq", *SMALL, "--skip", "layer1.0.conv")
    assert "no site named 'layer1.0.conv'" in message
    assert "Did you mean 'layer1.0.conv" in message


def test_a_missing_output_folder_is_found_before_the_work(tmp_path, capsys):
    assert "no folder" in failed(capsys, "describe", *SMALL, "--json", str(tmp_path / "none" / "out.json"))


def test_a_device_that_is_not_there_is_named(capsys):
    assert "'cuda:99'" in failed(capsys, "describe", *SMALL, "--device", "cuda:99")


def test_an_unknown_device_is_named(capsys):
    assert "Unknown device 'abacus'" in failed(capsys, "describe", *SMALL, "--device", "abacus")


def test_a_configuration_file_runs_like_its_command(tmp_path):
    from qanalysis.schema import configuration
    from qanalysis.schema.params.accuracy import PtqParams

    params = PtqParams(model=SMALL[1], calibration_samples=16, evaluation_samples=32, calibrations=("max",))
    file, out = tmp_path / "run.toml", tmp_path / "out.json"
    file.write_text(configuration.to_toml("ptq", params))
    assert main(["run", str(file), "--json", str(out)]) == 0
    there = json.loads(out.read_text())
    assert there["params"] == json.loads(params.model_dump_json())
    assert there["rows"] == json.loads(qanalysis.run_file(file).model_dump_json())["rows"]


def test_a_configuration_file_that_is_not_there(tmp_path, capsys):
    assert "nothing.toml" in failed(capsys, "run", str(tmp_path / "nothing.toml"))


def test_results_are_compared_side_by_side(tmp_path, capsys):
    files = []
    for bits in ("8", "4"):
        files.append(str(tmp_path / f"ptq{bits}.json"))
        counts = ["--calibration-samples", "16", "--evaluation-samples", "32", "--calibrations", "max"]
        assert main(["ptq", *SMALL, *counts, "--bits", bits, "--json", files[-1]]) == 0
    capsys.readouterr()
    assert main(["compare", *files, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["differences"] == {"weight bits": ["8", "4"], "activation bits": ["8", "4"]}
    assert told["runs"]["ptq4"]["accuracy"] == json.loads((tmp_path / "ptq4.json").read_text())["rows"][0]["accuracy"]
    assert len(told["ranges"]) == 22
    assert main(["compare", *files]) == 0
    assert "weight bits" in capsys.readouterr().out


def test_what_cannot_be_compared_is_a_sentence(tmp_path, capsys):
    (tmp_path / "plan.json").write_text("{}")
    (tmp_path / "list.json").write_text("[]")
    assert "Two runs" in failed(capsys, "compare", "one")
    assert "its analysis is None" in failed(capsys, "compare", str(tmp_path / "plan.json"), "x")
    assert "no result" in failed(capsys, "compare", str(tmp_path / "list.json"), "x")
    assert "There is no job 'nothing'" in failed(capsys, "compare", "nothing", "nothing")


def test_the_workflow_prints_its_stages_and_what_it_recommends(tmp_path, capsys):
    out = tmp_path / "out.json"
    counts = ["--calibration-samples", "16", "--evaluation-samples", "32", "--calibrations", "max,entropy"]
    assert (
        main(["workflow", "--model", "sample:resnet20", *counts, "--target", "50", "--no-deploy", "--json", str(out)])
        == 0
    )
    printed = capsys.readouterr().out
    result = json.loads(out.read_text())
    assert result["recommendation"]["end"] == "ptq"
    assert f"recommended: ptq, 8-bit weights, 8-bit activations, calibration {result['ptq']['best']}" in printed
    assert "not needed" in printed
