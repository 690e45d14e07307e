"""A task's name may import code: it is trusted as far as the names of models and data are."""

import pytest

import qanalysis
from qanalysis.names import refuse_from_page
from qanalysis.schema.errors import UserError


def test_a_file_may_not_name_code_as_its_task(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(
        'version = 1\nanalysis = "evaluate"\n[params]\nmodel = "sample:resnet20"\n'
        'data = "sample:cifar10"\ntask = "python:os:getcwd"\n'
    )
    with pytest.raises(UserError, match="would run code"):
        qanalysis.run_file(path)


def test_a_page_may_not_either():
    with pytest.raises(UserError, match="would run code"):
        refuse_from_page("sample:resnet20", "sample:cifar10", "python:os:getcwd")


@pytest.mark.parametrize("name", ["nothing", "python:os", "python:", "Detection", "given"])
def test_unknown_names_are_refused_with_the_choices(name):
    with pytest.raises(ValueError, match="choose from auto, classification"):
        qanalysis.ANALYSES["evaluate"].params(task=name)


def test_what_was_given_elsewhere_is_a_sentence():
    with pytest.raises(UserError, match="object of the Python process"):
        qanalysis.run("evaluate", model="given:Net-99999")
