"""What a computation was made of: its parameters, and the content of the files they name."""

import os
import time

import pytest

from qanalysis.schema import paths
from qanalysis.schema.digest import digest
from qanalysis.schema.params.accuracy import EvaluateParams


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch):
    monkeypatch.setattr(paths, "_folders", {})


@pytest.fixture
def images(tmp_path):
    for name in ("cat/1.png", "dog/2.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"old")
        os.utime(path, (1e9, 1e9))
    return tmp_path / "images"


def of(data):
    paths._folders.clear()
    return digest("evaluate", EvaluateParams(data=data))


CHANGES = {
    "content": lambda images: (images / "cat/1.png").write_bytes(b"new!"),
    "time": lambda images: os.utime(images / "cat/1.png", (2e9, 2e9)),
    "one more": lambda images: (images / "cat/3.png").write_bytes(b""),
    "one less": lambda images: (images / "cat/1.png").unlink(),
    "a name": lambda images: (images / "cat/1.png").rename(images / "cat/9.png"),
    "a class": lambda images: (images / "cat").rename(images / "cow"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("form", ["imagefolder:{}", "imagefolder:{}?mean=0.5&std=1", "imagefolder:/no?calibration={}"])
def test_follows_what_lies_in_a_folder(images, change, form):
    status = images.stat()
    before = of(form.format(images))
    CHANGES[change](images)
    os.utime(images, ns=(status.st_atime_ns, status.st_mtime_ns))  # the root's own time tells nothing
    assert of(form.format(images)) != before


@pytest.mark.parametrize("name", ["a@b.npz", "plain.npz", "with space.npz"])
def test_follows_a_file_whatever_its_name(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"one")
    before = of(f"npz:{path}")
    path.write_bytes(b"three")
    assert of(f"npz:{path}") != before


def test_follows_a_file_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x.npz").write_bytes(b"one")
    before = of("npz:~/x.npz")
    (tmp_path / "x.npz").write_bytes(b"three")
    assert of("npz:~/x.npz") != before


def test_is_the_same_as_long_as_nothing_changes(images):
    assert of(f"imagefolder:{images}") == of(f"imagefolder:{images}")


def test_a_large_folder_is_not_looked_through_at_every_question(images, monkeypatch):
    of(f"imagefolder:{images}")
    monkeypatch.setattr(paths, "walk", lambda *_: pytest.fail("looked again"))
    assert digest("evaluate", EvaluateParams(data=f"imagefolder:{images}"))


def test_a_loop_of_links_ends(images):
    os.symlink(images, images / "cat" / "again", target_is_directory=True)
    start = time.perf_counter()
    of(f"imagefolder:{images}")
    assert len(list(paths.walk(images))) == 2
    assert time.perf_counter() - start < 1
