"""What is public: a list that holds, is documented, and costs nothing until it is used."""

import doctest
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import qanalysis

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", qanalysis.__all__)
def test_is_there_and_documented(name):
    value = getattr(qanalysis, name)
    assert name == "ANALYSES" or value.__doc__
    assert f"`{name}`" in (ROOT / "docs" / "python.md").read_text()


def test_nothing_else_is_documented_as_public():
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / "python.md").read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == set(qanalysis.__all__)


def test_the_readme_imports_from_it_alone():
    lines = re.findall(r"^(?:from|import) .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert lines
    assert all(re.match(r"(from qanalysis import|import qanalysis)", line) for line in lines if "qanalysis" in line)


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match="has no attribute 'quantise'"):
        qanalysis.quantise  # noqa: B018


def test_pytorch_is_imported_when_it_is_needed():
    code = "import sys, qanalysis; qanalysis.Plan; qanalysis.figures; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "qanalysis").rglob("*.py"))
    if ">>>" in path.read_text()
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name):
    failed, tried = doctest.testmod(import_module(name))
    assert tried
    assert not failed
