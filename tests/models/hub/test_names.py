"""`hf:` names: heads, weights, what prepares inputs, and every way in which a folder does not fit."""

import json
import shutil
import sys

import pytest
import torch

from qanalysis import load_model
from qanalysis.models.hub import files, heads
from qanalysis.models.processor import SpeechProcessor, TextProcessor
from qanalysis.names import Name, imports_code
from qanalysis.schema import paths
from qanalysis.schema.errors import UserError


@pytest.fixture
def folder(network, tmp_path):
    """A copy of a small BERT's folder, to spoil."""
    return shutil.copytree(network("bert"), tmp_path / "bert")


def changed(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_weights_are_those_of_the_folder(network, folder):
    loaded = load_model(f"hf:{folder}")
    assert loaded.trained
    assert loaded.architecture == "bert"
    assert type(loaded.module).__name__ == "BertForQuestionAnswering"
    again = load_model(f"hf:{network('bert')}").module.state_dict()
    assert all(torch.equal(tensor, again[key]) for key, tensor in loaded.module.state_dict().items())


def test_at_none_and_a_folder_without_weights_are_random_and_say_so(folder):
    assert not load_model(f"hf:{folder}@none").trained
    (folder / "model.safetensors").unlink()
    loaded = load_model(f"hf:{folder}")
    assert not loaded.trained
    assert any("they are random" in note for note in loaded.notes)


def test_a_head_that_the_files_do_not_have_is_random_and_said(folder):
    loaded = load_model(f"hf:{folder}?task=text-classification")
    assert type(loaded.module).__name__ == "BertForSequenceClassification"
    assert not loaded.trained
    assert any(note.startswith("Weights of") and "random" in note for note in loaded.notes)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"auto_map": {"AutoModel": "net.Net"}}, "Python code of its own .* never run"),
        ({"quantization_config": {"bits": 4}}, "quantized already"),
        ({"architectures": ["BertForNothing"]}, "is BertForNothing, which is none that is known here; say it: .task="),
        ({"architectures": None}, "does not say what its head is; say it"),
        ({"architectures": ["XyzForQuestionAnswering"]}, "has no XyzForQuestionAnswering"),
        ({"architectures": ["AutoModel"]}, "has no AutoModel"),
        ({"model_type": "nothing-known"}, "cannot be built as BertForQuestionAnswering"),
        ({"hidden_size": 20}, "cannot be built as BertForQuestionAnswering"),
    ],
)
def test_a_configuration_that_does_not_fit_is_a_sentence(folder, values, message):
    changed(folder, **values)
    with pytest.raises(UserError, match=message):
        load_model(f"hf:{folder}")


def test_pickles_are_never_read(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"in pytorch_model.bin only, .* write them as safetensors"):
        load_model(f"hf:{folder}")
    assert not load_model(f"hf:{folder}@none").trained


def test_damaged_files_are_sentences(folder):
    (folder / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0nonsense")
    with pytest.raises(UserError, match="cannot be built"):
        load_model(f"hf:{folder}")
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json cannot be read"):
        load_model(f"hf:{folder}")
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match=r"has no config\.json"):
        load_model(f"hf:{folder}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf:/nowhere/at/all", "There is no folder /nowhere/at/all"),
        ("hf:./nothing", "There is no folder nothing"),
        ("hf:a/b/c", "no repository can have such an id"),
    ],
)
def test_what_is_not_there_is_a_sentence(network, name, message):
    with pytest.raises(UserError, match=message):
        load_model(name)


def test_an_unknown_option_or_head_is_a_sentence(folder):
    with pytest.raises(UserError, match=r"Unknown task 'dancing' .* choose from question-answering"):
        load_model(f"hf:{folder}?task=dancing")
    with pytest.raises(UserError, match="Unknown option 'head' of hf: names"):
        load_model(f"hf:{folder}?head=x")


class Hub:
    """Stands in for the library that fetches."""

    def __init__(self, error):
        self.error = error

    def HfApi(self):  # noqa: N802
        return self

    def repo_info(self, *args, **kwargs):
        raise self.error

    def snapshot_download(self, *args, **kwargs):
        raise FileNotFoundError("not in the cache")


def _answer(kind):
    from huggingface_hub import errors

    cls = getattr(errors, kind)
    return cls.__new__(cls, "no")  # it would want the answer of a server


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (lambda: _answer("GatedRepoError"), "is gated: accept its licence"),
        (lambda: _answer("RepositoryNotFoundError"), "no public model 'owner/net'"),
        (lambda: _answer("RevisionNotFoundError"), "has no revision"),
        (
            lambda: OSError("Name or service not known"),
            r"could not be fetched .*Name or service not known.* hf:\./FOLDER",
        ),
        (lambda: _answer("HfHubHTTPError"), "could not be fetched"),
    ],
)
def test_what_the_hub_answers_is_a_sentence(network, monkeypatch, error, message):
    import huggingface_hub

    hub = Hub(error())
    monkeypatch.setattr(huggingface_hub, "HfApi", hub.HfApi)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    with pytest.raises(UserError, match=message):
        files.folder(Name("hf", "owner/net"))


def test_folders_are_paths_and_ids_are_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert paths.named(f"hf:{tmp_path}@none?task=speech") == (str(tmp_path),)
    assert paths.named("hf:mine") == ("mine",)
    assert paths.named("hf:./other") == ("./other",)
    assert paths.named("hf:google/vit-base-patch16-224") == ()
    assert not imports_code("hf:google/vit-base-patch16-224")


def test_every_head_is_one_of_the_library(network):
    import transformers

    for head in heads.HEADS.values():
        assert hasattr(transformers, head.auto)


def test_a_tokenizer_becomes_the_processor(folder):
    tokenizers = pytest.importorskip("tokenizers")
    from transformers import PreTrainedTokenizerFast

    assert any("no tokenizer" in note for note in load_model(f"hf:{folder}").notes)
    words = {
        word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "who", "reads", "we", "do"])
    }
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    model.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=model, **special).save_pretrained(folder)
    processor = load_model(f"hf:{folder}").processor
    assert isinstance(processor, TextProcessor)
    assert (processor.size, processor.longest, processor.start, processor.end) == (99, 32, None, 3)
    encoded = processor.encode("who reads", "we do")
    assert encoded.ids.tolist() == [2, 4, 5, 3, 6, 7, 3]
    assert encoded.spans == (None, None, None, None, (0, 2), (3, 5), None)
    assert processor.decode([2, 6, 7, 3]) == "we do"
    assert processor.target("we do")[-1] == 3


def test_a_feature_extractor_and_characters_become_the_processor(network, tmp_path):
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor

    folder = shutil.copytree(network("wav2vec2"), tmp_path / "wav2vec2")
    symbols = ["<pad>", "<s>", "</s>", "<unk>", "|", "A", "B"]
    (tmp_path / "vocab.json").write_text(json.dumps({symbol: number for number, symbol in enumerate(symbols)}))
    Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json")).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    processor = load_model(f"hf:{folder}").processor
    assert isinstance(processor, SpeechProcessor)
    assert (processor.sample_rate, processor.size, processor.blank, processor.shortest) == (16_000, 20, 0, 25)
    assert processor.target("ab a") == [5, 6, 4, 5]
    with pytest.raises(ValueError, match="'Z'"):
        processor.target("z")
    assert processor.decode([5, 6, 4, 5]) == "AB A"
    features = processor.features(torch.randn(400))
    assert features["input_values"].shape == (400,)
    frames = load_model(f"hf:{folder}").module(features["input_values"][None]).logits
    assert frames.shape[-1] == processor.size


def test_an_image_processor_becomes_the_transform(network, tmp_path):
    from PIL import Image
    from transformers import ViTImageProcessor

    folder = shutil.copytree(network("vit"), tmp_path / "vit")
    settings = {"size": {"height": 16, "width": 16}, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.5, 0.5]}
    ViTImageProcessor(**settings).save_pretrained(folder)
    loaded = load_model(f"hf:{folder}")
    assert (loaded.mean, loaded.std, loaded.input_shape) == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5), (3, 16, 16))
    assert loaded.task == "classification"
    pixels = loaded.transform(Image.new("L", (40, 30), 255))
    assert pixels.shape == (3, 16, 16)
    torch.testing.assert_close(pixels[:, 0, 0], torch.tensor([1.8, 1.6, 1.4]))


def test_a_head_without_a_task_is_measured_against_fp32(network):
    assert load_model(f"hf:{network('detr')}").task == "fidelity"
    assert load_model(f"hf:{network('vit')}").task == "classification"
    assert load_model(f"hf:{network('segformer')}").task == "segmentation"


@pytest.mark.parametrize("missing", ["transformers", "huggingface_hub"])
def test_a_missing_library_is_a_sentence(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UserError, match=r"pip install 'qanalysis\[hf\]'"):
        load_model("hf:owner/net")
