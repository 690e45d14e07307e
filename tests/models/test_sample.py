import json

import pytest
import torch
from safetensors.torch import save_file

import qanalysis
from qanalysis import data, models
from qanalysis.models.sample import CIFAR_MEAN, CIFAR_STD, NETWORKS, TASKS
from qanalysis.schema.catalog import sample_models


@pytest.mark.parametrize("network", sorted(set(NETWORKS) - set(TASKS)))
def test_every_architecture_classifies_cifar_images(network):
    loaded = models.load(f"sample:{network}@none")
    assert not loaded.trained
    assert (loaded.mean, loaded.std) == (CIFAR_MEAN, CIFAR_STD)
    with torch.inference_mode():
        assert loaded.module(torch.zeros(2, *loaded.input_shape)).shape == (2, 10)


@pytest.mark.parametrize("network", sorted(TASKS))
def test_the_networks_for_scenes_do_what_their_records_say(network):
    record = sample_models()[network]
    result = qanalysis.run("evaluate", model=f"sample:{network}", data=record["data"], evaluation_samples=500)
    assert (result.task, result.metric) == (record["task"], record["metric"])
    assert result.fp32.accuracy == pytest.approx(record["test_accuracy"], abs=0.2)
    assert result.fp32.accuracy >= {"detection": 40, "segmentation": 60}[result.task]


@pytest.mark.parametrize("network", sorted(set(NETWORKS) - set(TASKS)))
def test_every_trained_sample_does_on_the_subset_what_its_record_says(network):
    if network not in sample_models():
        pytest.skip(f"sample_models/{network}.safetensors is not there")
    loaded = models.load(f"sample:{network}")
    assert loaded.trained
    assert network == loaded.architecture
    hits = 0
    with torch.inference_mode():
        for inputs, labels in data.load("sample:cifar10", loaded).evaluation.batches(100, 500):
            hits += int((loaded.module(inputs).argmax(1) == labels).sum())
    expected = sample_models()[network]["test_accuracy"]
    error = (expected * (100 - expected) / 500) ** 0.5
    assert abs(hits / 5 - expected) < 4 * error


@pytest.mark.parametrize("names", [[], ["vit"]], ids=["none there", "another there"])
def test_a_sample_that_is_not_there_is_answered_with_those_that_are(monkeypatch, tmp_path, names):
    for name in names:
        save_file(NETWORKS[name]().state_dict(), tmp_path / f"{name}.safetensors")
        (tmp_path / f"{name}.json").write_text(json.dumps({"test_accuracy": 50.0, "test_images": 10}))
    monkeypatch.setenv("QANALYSIS_SAMPLES", str(tmp_path))
    with pytest.raises(ValueError, match=f"choose from {names[0] if names else 'none found in ' + str(tmp_path)}"):
        models.load("sample:resnet20")


def test_the_origin_says_what_was_measured(monkeypatch, tmp_path):
    save_file(NETWORKS["resnet20"]().state_dict(), tmp_path / "resnet20.safetensors")
    (tmp_path / "resnet20.json").write_text(json.dumps({"test_accuracy": 91.734, "test_images": 10000}))
    monkeypatch.setenv("QANALYSIS_SAMPLES", str(tmp_path))
    assert models.load("sample:resnet20").origin == "trained on CIFAR-10, 91.73 % on its 10,000 test images"
