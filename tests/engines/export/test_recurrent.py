"""Files of networks with recurrent layers: what is in int8, what is not, and that both compute what is promised."""

from collections import Counter

import onnx
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import qanalysis
from qanalysis.schema.errors import UserError
from tests.nn.test_recurrent import Tagger, Translator, words

T, WIDTH, H = 5, 4, 8


class Tags(nn.Module):
    """One recurrent layer, two directions, and a tag for each step."""

    def __init__(self, kind: type[nn.RNNBase], **options: int) -> None:
        super().__init__()
        self.layer = kind(WIDTH, H, batch_first=True, bidirectional=True, **options)
        self.head = nn.LazyLinear(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(x)[0])


class Loop(nn.Module):
    """A cell that the network's own code calls at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTMCell(WIDTH, H), nn.Linear(H, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = None
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state[0])


def exported(model, inputs, folder):
    data = TensorDataset(inputs)
    with torch.no_grad():
        model.eval()(inputs)
    return qanalysis.run("export", model=model, data=(data, data), task="fidelity", output=str(folder))


def graph(result, folder):
    (name,) = (file.name for file in result.files if file.flavour == "onnx")
    return onnx.load(folder / name).graph


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_a_layer_stays_whole_and_says_so(kind, tmp_path):
    torch.manual_seed(0)
    result = exported(Tags(kind), torch.randn(16, T, WIDTH), tmp_path)
    assert result.quantized_sites == ("head",)
    assert {site.partition("_l0")[0] for site in result.float_sites} == {"layer:weight_ih", "layer:weight_hh"}
    reason = f"{kind.__name__} stays in floating point in the file"
    assert all(why.startswith(reason) for why in result.float_sites.values())
    assert result.verification.agreement > 99.99
    found = Counter(node.op_type for node in graph(result, tmp_path).node)
    assert found[kind.__name__] == 1
    assert found["QuantizeLinear"] == 1


WRITTEN_OUT = {
    "a cell in a loop": (Loop, ("cell:weight_ih", "cell:weight_hh", "head")),
    "an RNN": (
        lambda: Tags(nn.RNN),
        (
            "layer:weight_ih_l0",
            "layer:weight_hh_l0",
            "layer:weight_ih_l0_reverse",
            "layer:weight_hh_l0_reverse",
            "head",
        ),
    ),
    "a projection": (
        lambda: Tags(nn.LSTM, proj_size=3),
        (
            *(f"layer:weight_{w}_l0" for w in ("ih", "hh", "hr")),
            *(f"layer:weight_{w}_l0_reverse" for w in ("ih", "hh", "hr")),
            "head",
        ),
    ),
}


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize(("make", "sites"), WRITTEN_OUT.values(), ids=WRITTEN_OUT.keys())
def test_what_is_written_out_anyway_is_in_int8(make, sites, tmp_path):
    torch.manual_seed(0)
    result = exported(make(), torch.randn(16, T, WIDTH), tmp_path)
    assert sorted(result.quantized_sites) == sorted(sites)
    assert result.float_sites == {}
    assert result.verification.agreement > 99.9
    inner = [entry for entry in result.verification.sites if entry.int8]
    assert len(inner) == len(sites)
    assert max(max(entry.before, entry.output) for entry in inner) < 1e-5
    found = Counter(node.op_type for node in graph(result, tmp_path).node)
    assert found["LSTM"] == found["RNN"] == 0


def test_layers_and_cells_in_one_network(tmp_path):
    torch.manual_seed(0)
    result = exported(Translator(), torch.randint(1, 20, (16, T)), tmp_path)
    assert {site.partition(":")[0] for site in result.float_sites} == {"encoder", "second"}
    assert {"cell:weight_ih", "cell:weight_hh", "head"} < set(result.quantized_sites)
    assert result.verification.agreement > 99.9


def test_packed_sequences_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="packs sequences"):
        exported(Tagger(), words(), tmp_path)
    assert not list(tmp_path.glob("*.onnx"))
