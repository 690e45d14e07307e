"""The metric that docs/tasks.md shows, in every analysis; and metrics that are not numbers."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import qanalysis
from qanalysis.schema.errors import UserError

DOCS = Path(__file__).parents[2] / "docs" / "tasks.md"


class Prices(torch.utils.data.Dataset):
    """Four numbers about a house, and its price."""

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.rand(count, 4, generator=generator) + 0.5
        self.y = self.x @ torch.tensor([3.0, 1.0, 2.0, 0.5]) * (1 + 0.08 * torch.randn(count, generator=generator))

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, position: int):
        return self.x[position], float(self.y[position])


def net() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(4))
        model[1].weight.copy_(torch.tensor([[3.0, 1.0, 2.0, 0.5]]))
    return model


DATA = (Prices(60, 0), Prices(120, 1), Prices(40, 2))
SMALL = {"model": net(), "data": DATA, "calibration_samples": 32, "evaluation_samples": 100}


@pytest.fixture(scope="module")
def metric():
    code = re.search(r"```python\n# my_metric\.py\n(.*?)```", DOCS.read_text(), re.DOTALL)
    names: dict = {}
    exec(code.group(1), names)
    assert len(code.group(1).strip().splitlines()) <= 11
    return names["WithinTenPercent"]


def test_it_is_measured_with_its_interval(metric):
    result = qanalysis.run("ptq", **SMALL, task=metric, bits=4)
    assert (result.metric, result.words.samples, result.version) == ("within 10 %", "houses", 2)
    x, y = (torch.stack([torch.as_tensor(sample[i]) for sample in DATA[1]]) for i in (0, 1))
    right = (net()(x)[:, 0].detach() - y).abs() <= 0.1 * y
    assert 40 < result.fp32 < 100
    assert result.fp32 == pytest.approx(100 * float(right[: len(right)].double().mean()), abs=12)
    for row in result.rows:
        assert row.change_interval[0] <= row.accuracy - result.fp32 <= row.change_interval[1]


@pytest.mark.parametrize("analysis", ["describe", "evaluate", "calibrate", "weights", "sensitivity", "partial", "plan"])
def test_every_analysis_takes_it(metric, analysis):
    kept = {key: value for key, value in SMALL.items() if key in qanalysis.ANALYSES[analysis].params.model_fields}
    result = qanalysis.run(analysis, **kept, task=metric)
    assert result.words.metric == "within 10 %"
    assert result.task.startswith("given:")


def test_it_is_trained_on_and_exported(metric, tmp_path):
    trained = qanalysis.run("qat", **SMALL, task=metric, bits=4, calibration="max", steps=3, train_samples=16)
    assert trained.metric == "within 10 %"
    assert np.isfinite(trained.run.steps[-1].loss)
    pytest.importorskip("onnxruntime")
    file = qanalysis.run("export", **SMALL, task=metric, calibration="max", output=str(tmp_path))
    assert file.verification.agreement > 99


def test_the_samples_that_differ_most_are_shown_with_their_values(metric):
    result = qanalysis.run("answers", **SMALL, task=metric, bits=3)
    first = result.changed[0]
    assert first.same["max"] == min(one.same["max"] for one in result.changed)
    assert len(first.target.values) == len(first.fp32.values) == len(first.quantized["max"].values) == 1


class Undefined(qanalysis.Task):
    words = qanalysis.Words(metric="undefined")

    def statistics(self, answers, targets):
        return torch.full((len(answers[0]),), float("nan"))


class Crooked(qanalysis.Task):
    def statistics(self, answers, targets):
        return torch.zeros(len(answers[0]), 2, 2)


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (Undefined, "must be numbers, but those of sample 0 of a batch hold nan"),
        (Crooked, r"must be \(N,\) or \(N, S\), but are"),
        (nn.Linear(1, 1), "must be a subclass of qanalysis.Task, but is Linear"),
        ("python:os:getcwd", "must be a subclass of qanalysis.Task"),
        ("python:nowhere:Task", "cannot be imported"),
        ("segmentation", "needs scores .*--task"),
        ("detection", "cannot be run as the task detection does it; .* regression"),
        ("classification", "one number a sample.*--task"),
    ],
)
def test_what_is_no_metric_is_a_sentence(task, says):
    with pytest.raises(UserError, match=says):
        qanalysis.run("evaluate", **{k: v for k, v in SMALL.items() if k != "calibration_samples"}, task=task)
