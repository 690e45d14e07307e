import sys

import pytest

from qanalysis import models


def test_without_timm_the_sentence_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r"need the timm library: pip install 'qanalysis\[timm\]'"):
        models.load("timm:mobilenetv3_small_100")


def test_a_model_with_random_weights_is_marked():
    pytest.importorskip("timm")
    loaded = models.load("timm:mobilenetv3_small_100@none")
    assert not loaded.trained
    assert loaded.input_shape == (3, 224, 224)
    assert loaded.mean is not None
