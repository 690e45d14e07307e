import sys

import pytest
from torch import nn

from qanalysis import models
from qanalysis.models.loaded import LoadedModel


def network(width: str = "2") -> nn.Module:
    return nn.Linear(int(width), 3)


def with_more() -> LoadedModel:
    return LoadedModel("", nn.Linear(2, 3), True, "made by hand", (3, 8, 8), mean=(0.5,) * 3, std=(0.25,) * 3)


def word() -> str:
    return "resnet50"


def failing() -> nn.Module:
    raise KeyError("weights")


def test_a_factory_returns_a_network():
    loaded = models.load(f"python:{__name__}:network")
    assert isinstance(loaded.module, nn.Linear)
    assert loaded.name == f"python:{__name__}:network"


def test_options_are_its_arguments_and_part_of_the_name():
    loaded = models.load(f"python:{__name__}:network?width=5")
    assert loaded.module.in_features == 5
    assert loaded.name == f"python:{__name__}:network?width=5"


def test_a_factory_may_say_more_about_the_network():
    loaded = models.load(f"python:{__name__}:with_more")
    assert (loaded.name, loaded.origin, loaded.input_shape) == (
        f"python:{__name__}:with_more",
        "made by hand",
        (3, 8, 8),
    )


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("network", "are written python:package.module:factory, but got python:network"),
        ("no_such_module:network", "cannot be imported: No module named 'no_such_module'"),
        (f"{__name__}:missing", "cannot be imported: module .* has no attribute 'missing'"),
        (":network", "cannot be imported: ValueError: Empty module name"),
        (f"{__name__}:word", "must return an nn.Module, but returned str"),
        (f"{__name__}:failing", "failed: KeyError: 'weights'"),
        (f"{__name__}:network?height=2", "failed: TypeError: .*height"),
        (f"{__name__}:network?width=two", "failed: ValueError: invalid literal"),
    ],
)
def test_what_cannot_be_made_is_one_sentence(rest, message):
    with pytest.raises(ValueError, match=message):
        models.load(f"python:{rest}")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def factory(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import no_such_library", "No module named 'no_such_library'"),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_sentence(tmp_path, monkeypatch, code, message):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken_module.py").write_text(code)
    with pytest.raises(ValueError, match=f"python:broken_module:factory cannot be imported: {message}"):
        models.load("python:broken_module:factory")


def test_modules_in_the_working_folder_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "module_of_a_user.py").write_text("import torch\n\ndef factory():\n    return torch.nn.Linear(1, 1)\n")
    assert isinstance(models.load("python:module_of_a_user:factory").module, nn.Linear)
