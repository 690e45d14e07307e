from typing import ClassVar
from urllib.error import URLError

import numpy as np
import pytest
from torchvision import datasets

from qanalysis import data
from qanalysis.data import torchvision
from qanalysis.schema.catalog import home


class FakeCifar:
    """What the loader uses of torchvision's class; image i of a part is i in every pixel."""

    roots: ClassVar[list[str]] = []
    classes = tuple(f"class {i}" for i in range(10))

    def __init__(self, root, train, download=False):
        self.roots.append(root)
        count = 3000 if train else 500
        self.targets = [i % 10 for i in range(count)]
        self.data = np.broadcast_to(np.arange(count)[:, None, None, None] % 256, (count, 8, 8, 3)).astype(np.uint8)


@pytest.fixture
def _fake(monkeypatch):
    monkeypatch.setattr(FakeCifar, "roots", [])
    monkeypatch.setitem(torchvision.SETS, "CIFAR10", (FakeCifar, torchvision.SETS["CIFAR10"][1]))


@pytest.mark.usefixtures("_fake")
def test_calibration_is_a_balanced_choice_of_training_images_and_evaluation_the_test_set(model):
    loaded = data.load("torchvision:CIFAR10", model())
    assert [len(split) for split in (loaded.calibration, loaded.train, loaded.evaluation)] == [1024, 1976, 500]
    _, labels = next(loaded.calibration.batches(1024))
    assert sorted(np.bincount(labels)) == [102] * 6 + [103] * 4
    assert loaded.classes == FakeCifar.classes


@pytest.mark.usefixtures("_fake")
def test_the_seed_determines_the_choice(model):
    def chosen(seed):
        return next(data.load("torchvision:CIFAR10", model(), seed).calibration.batches(64))[0]

    assert (chosen(1) == chosen(1)).all()
    assert (chosen(1) != chosen(2)).any()


@pytest.mark.usefixtures("_fake")
def test_files_are_kept_in_the_tools_folder_or_where_root_says(model, tmp_path):
    data.load("torchvision:CIFAR10", model())
    data.load(f"torchvision:CIFAR10?root={tmp_path}", model())
    assert set(FakeCifar.roots) == {str(home() / "data"), str(tmp_path)}


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100"])
@pytest.mark.parametrize("error", [URLError("no route to host"), RuntimeError("Error downloading")])
def test_offline_is_one_sentence_that_offers_the_sample(model, monkeypatch, tmp_path, name, error):
    def offline(*arguments, **options):
        raise error

    monkeypatch.setattr(datasets.cifar, "download_and_extract_archive", offline)
    with pytest.raises(ValueError, match=f"{name} is not in {tmp_path} and could not be downloaded.*sample:cifar10"):
        data.load(f"torchvision:{name}?root={tmp_path}", model())


def test_files_that_are_not_the_published_ones_are_not_unpickled(model, monkeypatch, tmp_path):
    """torchvision's files are pickles, so they are read only if their checksums are the published ones."""
    folder = tmp_path / datasets.CIFAR10.base_folder
    folder.mkdir()
    for file, _ in datasets.CIFAR10.train_list + datasets.CIFAR10.test_list + [["batches.meta", ""]]:
        (folder / file).write_bytes(b"cposix\nsystem\n(S'touch /tmp/should-not-exist'\ntR.")
    monkeypatch.setattr(datasets.cifar.pickle, "load", lambda *_, **__: pytest.fail("a pickle was loaded"))
    monkeypatch.setattr(datasets.cifar, "download_and_extract_archive", lambda *_, **__: None)
    with pytest.raises(ValueError, match="could not be downloaded"):
        data.load(f"torchvision:CIFAR10?root={tmp_path}", model())
