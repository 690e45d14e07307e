"""What all tests share: quiet loggers, one thread, and a home folder of their own."""

import logging

import hypothesis
import pytest
import torch

logging.getLogger("streamlit").setLevel(logging.ERROR)
torch.set_num_threads(1)  # tensors are small here, and threads that wait for each other cost more than they give
hypothesis.settings.register_profile("default", deadline=None, max_examples=60)
hypothesis.settings.load_profile("default")


@pytest.fixture(autouse=True)
def _own_home(monkeypatch, tmp_path_factory, request):
    """Nothing that a test keeps lands in the user's home or meets another test's."""
    monkeypatch.setenv(
        "QANALYSIS_HOME", str(tmp_path_factory.getbasetemp() / "homes" / str(abs(hash(request.node.nodeid))))
    )
