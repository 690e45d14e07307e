"""Networks with several inputs and outputs, in every analysis; loaders; batches of any size give the same records."""

import numpy as np
import pytest
import torch
from torch import nn

import qanalysis
from qanalysis.analysis.measure.evaluation import Answering, compared
from qanalysis.analysis.measure.progress import silent
from qanalysis.data.batches import BatchesSplit
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.schema.errors import UserError
from qanalysis.schema.plan import Plan


class Two(nn.Module):
    """Ids and numbers by name in, two heads out."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.ids = nn.Embedding(50, 16)
        self.a, self.b = nn.Linear(16, 32), nn.Linear(8, 32)
        self.one, self.two = nn.Linear(32, 4), nn.Linear(32, 3)

    def forward(self, ids: torch.Tensor, extra: torch.Tensor) -> dict[str, torch.Tensor]:
        x = torch.relu(self.a(self.ids(ids).mean(1)) + self.b(extra))
        return {"one": self.one(x), "two": self.two(x)}


class Samples(torch.utils.data.Dataset):
    def __init__(self, count: int = 60, labelled: bool = False) -> None:
        self.count, self.labelled = count, labelled
        if labelled:
            self.targets = [position % 3 for position in range(count)]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, position: int):
        generator = torch.Generator().manual_seed(position)
        ids = torch.randint(0, 50, (7,), generator=generator)
        inputs = {"ids": ids, "extra": torch.randn(8, generator=generator)}
        return (inputs, position % 3) if self.labelled else inputs


GIVEN = {"model": Two(), "data": (Samples(), Samples(), Samples())}
FEW = {"calibration_samples": 32, "evaluation_samples": 60}


def test_without_labels_it_is_held_against_fp32():
    result = qanalysis.run("ptq", **GIVEN, **FEW)
    assert (result.task, result.metric, result.fp32) == ("fidelity", "fidelity", 100)
    assert result.fp32_score.accuracy_interval == (100, 100)
    assert all(99 < row.accuracy <= 100 for row in result.rows)


def test_a_site_of_the_other_head_is_not_harmless():
    data = (Samples(300), Samples(300, labelled=True))
    labelled = qanalysis.run(
        "sensitivity", model=Two(), data=data, task="classification", bits=4, harmless=50.0, proxies=False,
        calibration_samples=32, evaluation_samples=300,
    )  # fmt: skip
    rows = {row.site: row for row in labelled.rows}
    assert rows["one"].divergence > 0
    assert rows["two"].divergence > 0
    unseen = "one" if rows["one"].relative == 0 else "two"
    assert unseen not in labelled.stopped
    assert any("all of them count in the divergence" in warning for warning in labelled.warnings)


def test_the_file_has_inputs_and_outputs_by_name(tmp_path):
    onnx = pytest.importorskip("onnx")
    result = qanalysis.run("export", **GIVEN, **FEW, calibration="max", output=str(tmp_path))
    graph = onnx.load(tmp_path / result.files[0].name).graph
    assert [value.name for value in graph.input] == ["ids", "extra"]
    assert [value.name for value in graph.output] == ["one", "two"]
    assert {value.type.tensor_type.shape.dim[0].dim_param for value in (*graph.input, *graph.output)} == {"batch"}
    assert max(site.output for site in result.verification.sites) < 1e-5


def test_it_is_trained_on_what_fp32_says():
    result = qanalysis.run(
        "qat", **GIVEN, **FEW, bits=4, calibration="max", steps=20, control=False, learning_rate=1e-2
    )
    losses = [row.loss for row in result.run.steps]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert result.qat.divergence < result.ptq.divergence


def loader(batch_size: int, count: int = 60) -> torch.utils.data.DataLoader:
    return torch.utils.data.DataLoader(Samples(count), batch_size=batch_size)


def test_loaders_are_read_once_and_said_so():
    result = qanalysis.run("ptq", model=Two(), data=(loader(16), loader(7)), calibrations=("max",), **FEW)
    same = qanalysis.run("ptq", **GIVEN, calibrations=("max",), calibration_samples=60, evaluation_samples=60)
    assert any("read once into memory (60 samples" in warning for warning in result.data.warnings)
    assert result.rows[0].accuracy == pytest.approx(same.rows[0].accuracy, abs=0.2)


def test_what_does_not_fit_is_spilled_to_disk():
    whole, spilled = BatchesSplit(loader(16)), BatchesSplit(loader(16), memory=1000)
    assert "spilled to a temporary folder" in spilled.note
    for (one, _), (other, _) in zip(whole.batches(10), spilled.batches(10), strict=True):
        assert torch.equal(one["ids"], other["ids"])
    chosen = spilled.reordered(np.array([40, 41, 3]))
    assert [len(inputs["ids"]) for inputs, _ in chosen.batches(8)] == [2, 1]


@pytest.mark.parametrize("batches", [[], ["words"], [torch.zeros(2, 3, dtype=torch.uint8)]])
def test_other_batches_are_refused(batches):
    with pytest.raises(UserError):
        BatchesSplit(iter(batches))


@pytest.mark.parametrize("size", [1, 7, 60])
def test_any_split_into_batches_gives_the_same_records(size):
    from qanalysis import setup as setups
    from qanalysis.analysis.measure.ground import calibrated
    from qanalysis.schema.params.task import TaskParams

    def records(batch_size: int):
        params = TaskParams(model="given:", data="given:", batch_size=batch_size).model_copy(update=names)
        setup = setups.load(params)
        ground = calibrated(setup, Plan(), ("max",), 32, silent)
        model = QuantizedModel(ground.module, Plan(weight_bits=4), ground.ranges)
        return compared(Answering(setup, ground.module, 60), {"": model}, silent, "x")[""]

    from qanalysis.names import give

    names = {"model": give(Two()), "data": give((Samples(), Samples()))}
    whole, parts = records(32), records(size)
    assert np.allclose(whole.statistics, parts.statistics, rtol=1e-6)
    assert np.allclose(whole.divergence, parts.divergence, rtol=1e-3)
