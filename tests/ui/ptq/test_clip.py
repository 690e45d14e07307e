"""The button of the PTQ page that clips GELU and Swish (Appendix D, Table 12)."""

import pytest

from tests.ui.visit import opened, started

SETTINGS = {"cal-samples": "16", "eval-samples": "32"}
NETWORK = """
import torch
from torch import nn


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
"""


@pytest.fixture
def gelu(tmp_path_factory, monkeypatch):
    """Name of a network with GELU; the page may import it."""
    folder = tmp_path_factory.mktemp("nets")
    (folder / "gelu_network.py").write_text(NETWORK)
    monkeypatch.setenv("QANALYSIS_ALLOW_PYTHON", "1")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return "python:gelu_network:network"


def test_clipping_is_one_button_and_its_network_can_be_taken(app, gelu):
    opened(app, "2_PTQ.py", model=gelu, **SETTINGS)
    started(app, "ptq")
    assert not app.exception
    assert [header.value for header in app.header if header.value.startswith("Clip")] == ["Clip GELU"]
    assert app.button(key="start-clip").label == "Clip GELU at 10"
    started(app, "clip")
    assert not app.exception
    table = next(frame.value for frame in app.dataframe if "network" in frame.value)
    assert table.iloc[0]["calibration"] == "fp32"
    assert list(table["network"])[-2:] == ["clipped at 10", "clipped at 10"]
    assert list(table["calibration"])[-2:] == ["fp32", "max"]
    app.button(key="clip-take").click().run()
    assert app.selectbox(key="model").value == f"{gelu}?clip=10"
    started(app, "ptq")
    assert any("give at most 10" in warning.value for warning in (*app.warning, *app.info, *app.caption, *app.markdown))
    assert not any(header.value.startswith("Clip") for header in app.header)


def test_a_network_without_them_has_no_button(app):
    opened(app, "2_PTQ.py", model="sample:resnet20@none", **SETTINGS)
    started(app, "ptq")
    assert not any(header.value.startswith("Clip") for header in app.header)


def test_a_fixed_range_is_typed(app):
    opened(app, "2_PTQ.py", model="sample:resnet20@none", **SETTINGS)
    app.multiselect(key="calibrations").set_value(["max", "fixed:6"]).run()
    started(app, "ptq")
    assert not app.exception
    assert list(app.dataframe[0].value["calibration"]) == ["max", "±6"]
    app.multiselect(key="calibrations").set_value(["max", "fixed:-6"]).run()
    assert any("but got A=" in error.value for error in app.error)
