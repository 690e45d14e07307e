"""Configuration files: what is written is read as the same run; what is wrong is said in one sentence."""

from typing import get_args

import pytest

from qanalysis.schema import configuration
from qanalysis.schema.analyses import ANALYSES, COMMANDS
from qanalysis.schema.plan import Plan
from qanalysis.schema.saved_plan import SavedPlan


def written(tmp_path, text: str):
    path = tmp_path / "run.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("analysis", COMMANDS)
def test_every_analysis_is_read_as_it_was_written(tmp_path, analysis):
    params = ANALYSES[analysis].params(model="sample:vit", seed=3)
    assert configuration.load(written(tmp_path, configuration.to_toml(analysis, params))) == (analysis, params)


@pytest.mark.parametrize("analysis", COMMANDS)
def test_none_is_always_a_default_so_that_leaving_it_out_loses_nothing(analysis):
    for name, field in ANALYSES[analysis].params.model_fields.items():
        if type(None) in get_args(field.annotation):
            assert field.default is None, name


def test_a_saved_plan_is_written_as_a_value(tmp_path):
    plan = SavedPlan(
        name="gentle",
        model="sample:resnet20",
        sites=("a", "b"),
        plan=Plan(weight_bits=4, activation_bits=4).skipping("b"),
    )
    params = ANALYSES["ptq"].params(plan=plan)
    read = configuration.load(written(tmp_path, configuration.to_toml("ptq", params)))[1]
    assert read.plan == plan


def test_what_is_not_in_a_file_is_at_its_default(tmp_path):
    path = written(tmp_path, 'version = 1\nanalysis = "ptq"\n[params]\nbits = 4\n')
    assert configuration.load(path) == ("ptq", ANALYSES["ptq"].params(bits=4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bits: 4", "not TOML"),
        ('analysis = "ptq"', "version = 1"),
        ('version = 2\nanalysis = "ptq"', "version = 2"),
        ("version = 1", "analysis: Field required"),
        ('version = 1\nanalysis = "trials"', "unknown analysis 'trials'; choose from"),
        ('version = 1\nanalysis = "ptq"\n[params]\nbits = 9', r"bits: .*less than or equal to 8.*got 9"),
        ('version = 1\nanalysis = "ptq"\n[params]\nbit = 4', r"bit: Extra inputs"),
        ('version = 1\nanalysis = "ptq"\nmodel = "sample:vit"', r"model: Extra inputs"),
        ('version = 1\nanalysis = "ptq"\n[params]\ncalibrations = ["kl"]', r"Unknown calibration 'kl'"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as raised:
        configuration.load(written(tmp_path, text))
    assert "run.toml" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "run.toml").write_bytes(b"\xff\xfe\x00version")
    with pytest.raises(ValueError, match="not TOML"):
        configuration.load(tmp_path / "run.toml")
