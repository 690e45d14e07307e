import contextlib
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from qanalysis import models
from qanalysis.models.state_dict import read_state_dicts
from qanalysis.schema.errors import UserError


class Small(nn.Module):
    """A network of a convolution, a batch norm and a linear layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 2)


def small() -> nn.Module:
    return Small()


ARCH = f"python:{__name__}:small"


@pytest.fixture
def state():
    torch.manual_seed(3)
    return Small().state_dict()


@pytest.fixture
def saved(tmp_path):
    """`saved(content, suffix)`: the name of a checkpoint that holds it."""

    def save(content, suffix=".pt"):
        path = tmp_path / f"net{suffix}"
        if suffix == ".safetensors":
            save_file(content, path)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
        return f"checkpoint:{path}?arch={ARCH}"

    return save


def same(module, state):
    return all(torch.equal(value, state[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_a_state_dict_is_loaded(saved, state, suffix):
    name = saved(state, suffix)
    loaded = models.load(name)
    assert same(loaded.module, state)
    assert loaded.trained
    assert loaded.name == name
    assert f"net{suffix}" in loaded.origin


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model"])
def test_wrappers_are_taken_off(saved, state, wrapper):
    assert same(models.load(saved({wrapper: state, "epoch": 7})).module, state)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_of_data_parallel_and_compile_are_taken_off(saved, state, prefix, suffix):
    assert same(models.load(saved({prefix + key: value for key, value in state.items()}, suffix)).module, state)


def test_a_name_that_only_begins_like_a_prefix_is_kept(tmp_path):
    torch.save({"module.weight": torch.ones(1), "head.weight": torch.ones(1)}, tmp_path / "net.pt")
    assert list(read_state_dicts(tmp_path / "net.pt")[0].tensors) == ["module.weight", "head.weight"]


def test_batch_counters_may_be_missing(saved, state):
    del state["norm.num_batches_tracked"]
    assert torch.equal(models.load(saved(state)).module.conv.weight, state["conv.weight"])


def test_half_precision_is_loaded_as_float(saved, state):
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    module = models.load(saved(half)).module
    assert module.conv.weight.dtype == torch.float32
    assert torch.equal(module.conv.weight, half["conv.weight"].float())


def test_torchvision_architectures_take_a_number_of_classes(tmp_path):
    network = models.load("torchvision:squeezenet1_1@none?classes=3").module
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    loaded = models.load(f"checkpoint:{tmp_path}/net.safetensors?arch=torchvision:squeezenet1_1&classes=3")
    assert same(loaded.module, network.state_dict())
    assert loaded.architecture == "squeezenet1_1"


def test_sample_architectures_need_no_sample_weights(tmp_path):
    network = models.load("sample:resnet20@none").module
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    loaded = models.load(f"checkpoint:{tmp_path}/net.safetensors?arch=sample:resnet20")
    assert loaded.input_shape == (3, 32, 32)
    assert same(loaded.module, network.state_dict())


def test_a_wrong_architecture_is_told_by_the_first_key_that_does_not_fit(tmp_path):
    torch.save(models.load("sample:resnet20@none").module.state_dict(), tmp_path / "net.pt")
    expected = next(iter(models.load("torchvision:resnet18@none").module.state_dict()))
    with pytest.raises(ValueError, match=f"net.pt does not fit torchvision:resnet18: {expected} "):
        models.load(f"checkpoint:{tmp_path}/net.pt?arch=torchvision:resnet18")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv.weight": torch.zeros(4, 3, 5, 5)}, r"conv.weight has shape \(4, 3, 5, 5\), expected \(4, 3, 3, 3\)"),
        ({"norm.bias": None, "head.bias": None}, "norm.bias is missing in the file"),
        ({"extra.weight": torch.zeros(1)}, "it also holds extra.weight, which is unknown there"),
    ],
    ids=["shape", "missing", "unexpected"],
)
def test_tensors_that_do_not_fit_are_named(saved, state, change, message):
    changed = {key: value for key, value in (state | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        models.load(saved(changed))


def test_weights_that_are_not_finite_are_named(saved, state):
    state["head.weight"][0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"weights must be finite, but head\.weight holds 1 NaN"):
        models.load(saved(state))


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=f"There is no checkpoint at {tmp_path}/none.pt"):
        models.load(f"checkpoint:{tmp_path}/none.pt?arch={ARCH}")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not a checkpoint", bytes(1000), b"PK\x03\x04 and no more"])
def test_a_corrupt_file_is_one_sentence(tmp_path, content, suffix):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"net{suffix} is corrupt") as error:
        models.load(f"checkpoint:{path}?arch={ARCH}")
    assert "\n" not in str(error.value)


class Payload:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("how", ["torch file", "legacy torch file", "bare pickle", "inside a state dict"])
def test_pickled_code_is_refused_and_not_executed(tmp_path, how):
    path, payload = tmp_path / "net.pt", Payload(tmp_path / "created")
    if how == "bare pickle":
        path.write_bytes(pickle.dumps(payload))
    elif how == "inside a state dict":
        torch.save({"conv.weight": torch.zeros(1), "extra": payload}, path)
    else:
        torch.save(payload, path, _use_new_zipfile_serialization=how == "torch file")
    with pytest.raises(ValueError, match="pickled code, which is not executed; save the state dict alone"):
        models.load(f"checkpoint:{path}?arch={ARCH}")
    assert not payload.path.exists()
    with open(path, "rb") as file, contextlib.suppress(Exception):  # the payload itself works
        torch.load(file, weights_only=False)
    assert payload.path.exists()


def test_a_whole_pickled_module_is_refused(saved):
    with pytest.raises(ValueError, match="save the state dict alone"):
        models.load(saved(Small()))


@pytest.mark.parametrize("content", [{"epoch": 3}, [torch.zeros(1)], torch.zeros(3)], ids=["number", "list", "tensor"])
def test_a_file_without_a_state_dict_is_one_sentence(saved, content):
    with pytest.raises(ValueError, match="holds no state dict: a dictionary of tensors is expected"):
        models.load(saved(content))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@given(cut=st.floats(0, 1, exclude_max=True), flip=st.integers(0, 10**6))
@settings(max_examples=40)
def test_whatever_is_broken_raises_nothing_but_a_user_error(tmp_path_factory, suffix, cut, flip):
    path = tmp_path_factory.mktemp("net") / f"net{suffix}"
    tensors = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.zeros(2)}
    save_file(tensors, path) if suffix == ".safetensors" else torch.save(tensors, path)
    content = bytearray(path.read_bytes())
    content[flip % len(content)] ^= 0xFF
    path.write_bytes(content[: int(cut * len(content))] if flip % 2 else content)
    states = []
    with contextlib.suppress(UserError):
        states = read_state_dicts(path)
    assert all(isinstance(value, torch.Tensor) for state in states for value in state.tensors.values())
