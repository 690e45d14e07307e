"""`hf:` data: tables in files, and what cells become."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import qanalysis
from qanalysis.data import load
from qanalysis.models.loaded import LoadedModel
from qanalysis.models.processor import Encoded
from qanalysis.schema.errors import UserError

datasets = pytest.importorskip("datasets", reason="the datasets library is not installed (extra hf)")


@pytest.fixture(autouse=True)
def _home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("QANALYSIS_HOME", str(tmp_path_factory.mktemp("home")))


class Words:
    """A tokenizer: a token is a word's length."""

    size, longest, start, end, decoder_input = 40, 6, None, None, ""

    def encode(self, text, pair=None):
        ids = [len(word) for word in f"{text} {pair or ''}".split()]
        return Encoded({"input_ids": torch.tensor(ids), "attention_mask": torch.ones(len(ids), dtype=torch.long)})

    def target(self, text):
        return []

    def decode(self, ids):
        return ""


def model(**about):
    return LoadedModel("net", nn.Identity(), True, "made here", **about)


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def first(split):
    return next(split.batches(1))


def test_splits_are_told_by_names_and_validation_is_evaluated(tmp_path):
    rows = [{"x": [float(number), 1.0], "label": number % 3} for number in range(9)]
    lines(tmp_path / "data" / "train-0-of-1.jsonl", rows)
    lines(tmp_path / "data" / "validation.jsonl", rows[:4])
    lines(tmp_path / "data" / "test.jsonl", rows[:2])
    data = load(f"hf:{tmp_path}", model())
    assert (len(data.calibration), len(data.evaluation)) == (9, 4)
    assert data.labelled
    assert data.labels == 3
    inputs, targets = first(data.evaluation)
    assert inputs.shape == (1, 2)
    assert targets.dtype == torch.int64
    assert len(load(f"hf:{tmp_path}?evaluation=test&target=none&input=x", model()).evaluation) == 2


def test_one_table_is_parted(tmp_path):
    path = lines(tmp_path / "numbers.jsonl", [{"x": [1.0], "y": 0.5}] * 8)
    data = load(f"hf:{path}?input=x&target=y", model())
    assert (len(data.calibration), len(data.evaluation)) == (2, 6)
    assert first(data.evaluation)[1].tolist() == [0.5]


def test_texts_go_through_the_tokenizer_and_lengths_are_not_mixed(tmp_path):
    texts = ["one two", "three four five", "six", "too many words for such a net"] * 3
    path = lines(tmp_path / "texts.jsonl", [{"text": text, "other": "a pair", "label": 1} for text in texts])
    data = load(f"hf:{path}?input=text", model(processor=Words()))
    batches = list(data.evaluation.batches(4))
    assert {tuple(inputs) for inputs, _ in batches} == {("input_ids", "attention_mask")}
    assert all(inputs["input_ids"].ndim == 2 for inputs, _ in batches)
    assert "7 tokens are more than the network's 6" in data.evaluation.skipped[0]
    pairs = load(f"hf:{path}?input=text,other", model(processor=Words()))
    assert first(pairs.evaluation)[0]["input_ids"].shape[1] in (3, 4, 5)
    with pytest.raises(UserError, match="net brings no tokenizer"):
        first(load(f"hf:{path}?input=text", model()).evaluation)


def test_images_are_read_from_bytes_and_never_from_paths(tmp_path):
    picture = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), 255, np.uint8)).save(picture, "png")
    (tmp_path / "secret.png").write_bytes(picture.getvalue())
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    cells = [{"bytes": picture.getvalue(), "path": None}] * 4 + [{"bytes": None, "path": str(tmp_path / "secret.png")}]
    table = datasets.Dataset.from_dict({"image": cells, "label": [0, 1, 0, 1, 1]}, features=features)
    (tmp_path / "t").mkdir()
    table.to_parquet(tmp_path / "t" / "pictures.parquet")
    data = load(f"hf:{tmp_path / 't'}", model(input_shape=(3, 4, 4), mean=(0.5,) * 3, std=(0.5,) * 3))
    assert data.classes == ("cat", "dog")
    assert data.images
    for split in (data.calibration, data.evaluation):
        for inputs, _ in split.batches(2):
            assert inputs.shape[1:] == (3, 4, 4)
            torch.testing.assert_close(inputs, torch.ones_like(inputs))
    skipped = (*data.calibration.skipped, *data.evaluation.skipped)
    assert any("paths in cells are not followed" in note for note in skipped)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", r"Say which column of hf:.* is the input: \?input=COLUMN; it has a, b, label\."),
        ("?input=c", r"has no column 'c'; it has a, b, label\."),
        ("?input=a&target=c", r"has no column 'c'"),
        ("?input=a&evaluation=test", r"has no split 'test'; choose from all\."),
        ("?input=a&config=other", r"has no table"),
        ("?columns=a", r"Unknown option 'columns' of hf: names"),
    ],
)
def test_options_that_do_not_fit_are_sentences(tmp_path, query, message):
    path = lines(tmp_path / "table.jsonl", [{"a": [1.0], "b": "x", "label": 1}] * 4)
    with pytest.raises(UserError, match=message):
        load(f"hf:{path}{query}", model())


def test_a_damaged_table_is_a_sentence(tmp_path):
    (tmp_path / "broken.parquet").write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"broken\.parquet cannot be read"):
        load(f"hf:{tmp_path}", model())
    with pytest.raises(UserError, match=r"There is no table at .*nothing\.parquet"):
        load(f"hf:{tmp_path / 'nothing.parquet'}", model())


def test_token_ids_feed_a_network_by_name(tmp_path):
    transformers = pytest.importorskip("transformers", reason="the transformers library is not installed (extra hf)")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=50, **sizes)
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path / "net")
    row = {"input_ids": [1, 2, 3, 4], "attention_mask": [1, 1, 1, 1], "label": 1}
    path = lines(tmp_path / "ids.jsonl", [row | {"input_ids": [number, 2, 3, 4]} for number in range(12)])
    result = qanalysis.run(
        "ptq", model=f"hf:{tmp_path / 'net'}", data=f"hf:{path}?input=input_ids,attention_mask", calibrations=("max",)
    )
    assert result.task in ("classification", "text-classification")
    assert result.data.labelled
    assert result.rows[0].sqnr > 20
