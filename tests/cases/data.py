"""Data: names, image folders, arrays."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import qanalysis
from tests.cases.case import Answer, Case, cli, python

EVALUATE = ("evaluate", "--model", "sample:resnet20@none", "--evaluation-samples", "4", "--data")
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), np.uint8)
LABELS = np.arange(12) % 10

_NAMES = {
    "nothing": ("", "Unknown data"),
    "no source": ("cifar10", "Unknown data"),
    "an unknown sample": ("sample:mnist", "Unknown sample data"),
    "a variant": ("sample:cifar10@small", "no @ variants"),
    "an option": ("sample:cifar10?size=3", "Unknown option"),
    "a mean without deviation": ("sample:cifar10?mean=0.5", "together"),
    "a deviation of zero": ("sample:cifar10?mean=0&std=0", "positive"),
    "an infinite mean": ("sample:cifar10?mean=inf&std=1", "mean"),
    "a folder that is not there": ("imagefolder:/no/such", "There is no folder"),
    "a file as folder": ("imagefolder:/etc/passwd", "not a folder"),
    "a device as folder": ("imagefolder:/dev/zero", "not a folder"),
    "a folder of a nobody": ("imagefolder:~nobody-here", "home folder"),
    "a folder with a NUL": ("imagefolder:a\0b", "NUL"),
    "a folder of 5,000 characters": ("imagefolder:" + "x" * 5000, "too long"),
    "an empty folder": ("imagefolder:{folder}", "no images"),
    "an empty calibration folder": ("imagefolder:{folder}?calibration=", "no images"),
    "a calibration folder that is not there": ("imagefolder:{folder}?calibration=/no", "There is no folder /no"),
    "arrays that are not there": ("npz:/no.npz", "There is no file"),
    "a folder as arrays": ("npz:{folder}", "a folder"),
    "a device as arrays": ("npz:/dev/zero", "a device"),
    "python that fails": ("python:os:abort_please", "cannot be imported"),
}


def _arrays(**changes: Any) -> Callable[[Path], None]:
    content = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS, **changes}
    content = {key: value for key, value in content.items() if value is not None}
    return lambda folder: np.savez(folder / "data.npz", **content)


def _bomb(folder: Path) -> None:
    """An array that says that it is much larger than its file."""
    np.save(folder / "x.npy", IMAGES[:1])
    header = (folder / "x.npy").read_bytes().replace(b"(1, 32, 32, 3)", b"(9999999,9999)")
    with zipfile.ZipFile(folder / "data.npz", "w") as archive:
        for name in ("x_train", "x_test"):
            archive.writestr(f"{name}.npy", header)


_ARRAYS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "an empty file": (lambda folder: (folder / "data.npz").write_bytes(b""), "corrupt"),
    "a text": (lambda folder: (folder / "data.npz").write_text("x"), "corrupt"),
    "one array": (lambda folder: (folder / "data.npz").write_bytes(_single()), "single array"),
    "no test images": (_arrays(x_test=None), "x_test is missing"),
    "floats": (_arrays(x_train=IMAGES.astype(float)), "uint8"),
    "channels first": (_arrays(x_train=IMAGES.transpose(0, 3, 1, 2)), "transpose"),
    "no images": (_arrays(x_train=IMAGES[:0], y_train=LABELS[:0]), "no images"),
    "two sizes": (_arrays(x_test=IMAGES[:, :16]), "one shape"),
    "objects": (_arrays(y_test=np.array([{}] * 12, object)), "pickled objects"),
    "too few labels": (_arrays(y_test=LABELS[:5]), "a label for each image"),
    "negative labels": (_arrays(y_test=LABELS - 1), "-1"),
    "labels of 10^30": (_arrays(y_test=LABELS.astype(object) + 10**30), "pickled|class numbers"),
    "labels of 2^60": (_arrays(y_test=LABELS + 2**60), "class numbers"),
    "labels of 2^63": (_arrays(y_test=LABELS.astype(np.uint64) + np.uint64(2**63)), "class numbers"),
    "fractions as labels": (_arrays(y_test=LABELS + 0.5), "class numbers"),
    "one-hot labels": (_arrays(y_test=np.eye(10)[LABELS]), "class numbers"),
    "labels beyond the classes": (_arrays(y_test=LABELS + 5), "has 15 classes, but .* has 10 classes"),
    "a size that is a lie": (_bomb, "corrupt|memory"),
}


def _single() -> bytes:
    import io

    file = io.BytesIO()
    np.save(file, IMAGES)
    return file.getvalue()


def _folder(*files: tuple[str, Callable[[Path], Any]]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for name, write in files:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path)

    return make


def _png(path: Path) -> None:
    Image.fromarray(IMAGES[0]).save(path)


def _bad(content: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(content)


def _loop(folder: Path) -> None:
    for number in range(3):
        (folder / "cat").mkdir(exist_ok=True)
        _png(folder / "cat" / f"{number}.png")
    os.symlink(folder, folder / "cat" / "again", target_is_directory=True)
    os.symlink("itself", folder / "itself", target_is_directory=True)


_FOLDERS: dict[str, tuple[Callable[[Path], Any], str, int]] = {
    "one image": (_folder(("a/1.png", _png)), "at least two", 1),
    "one broken image": (_folder(*((f"a/{n}.png", _png) for n in range(7)), ("b/3.png", _bad(b"x"))), "", 0),
    "only broken images": (_folder(*((f"a/{n}.png", _bad(b"x")) for n in range(4))), "be read", 1),
    "empty files": (_folder(*((f"a/{n}.png", _bad(b"")) for n in range(4))), "be read", 1),
    "no image at all": (_folder(("a/notes.txt", _bad(b"x"))), "no images", 1),
    "hidden images": (_folder(("a/.1.png", _png)), "no images", 1),
    "more classes than the network has": (
        _folder(*((f"class{n:02}/{i}.png", _png) for n in range(12) for i in range(2))),
        "has 10 classes",
        1,
    ),
    "names that are no text": (_folder(*((f"a/{n}\udcff.png", _png) for n in range(4))), "", 0),
}


def _counted(folder: Path) -> object:
    _loop(folder)
    return qanalysis.run("describe", model="sample:resnet20@none", data=f"imagefolder:{folder}").data.origin


def _values(save: Callable[[Path], Any], expected: float, spread: float = 1.5) -> Callable[[Path], Answer]:
    """An image file whose pixels must have these mean values after it was read."""

    def call(folder: Path) -> object:
        from qanalysis.data.colour import in_colour

        save(folder / "image")
        path = next(folder.iterdir())
        notes: list[str] = []
        with Image.open(path) as image:
            mean = float(np.asarray(in_colour(image, notes.append)).mean())
        assert abs(mean - expected) < spread, mean
        return " ".join(notes)

    return python(call)


def _tiff(values: np.ndarray[Any, Any]) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(values).save(path.with_suffix(".tif"))


def _turned(path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(np.zeros((8, 16, 3), np.uint8)).save(path.with_suffix(".jpg"), exif=exif)


def _turned_size(folder: Path) -> object:
    from qanalysis.data.colour import in_colour

    _turned(folder / "image")
    with Image.open(folder / "image.jpg") as image:
        return in_colour(image, print).size


_COLOURS = [
    Case("16 bits", _values(_tiff(np.full((8, 8), 32768, np.uint16)), 127.5), "16-bit images were scaled", code=0),
    Case("32 bits", _values(_tiff(np.full((8, 8), 32768, np.int32)), 127.5), "16-bit images were scaled", code=0),
    Case("32 bits that are 8", _values(_tiff(np.full((8, 8), 100, np.int32)), 100), code=0),
    Case("floats to one", _values(_tiff(np.full((8, 8), 0.5, np.float32)), 127.5), "from 0 to 1", code=0),
    Case(
        "other floats",
        _values(_tiff(np.linspace(-5, 9, 64, dtype=np.float32).reshape(8, 8)), 127.5),
        "stretched",
        code=0,
    ),
    Case("a turned photograph", python(_turned_size), r"\(8, 16\)", code=0),
    Case(
        "CMYK",
        _values(lambda path: Image.new("CMYK", (8, 8), (0, 0, 0, 0)).save(path.with_suffix(".jpg")), 255, 3),
        code=0,
    ),
    Case("a palette", _values(lambda path: Image.new("P", (8, 8), 0).save(path.with_suffix(".gif")), 0), code=0),
    Case(
        "grey with alpha",
        _values(lambda path: Image.new("LA", (8, 8), (90, 0)).save(path.with_suffix(".png")), 90),
        code=0,
    ),
    Case("one bit", _values(lambda path: Image.new("1", (8, 8), 1).save(path.with_suffix(".png")), 255), code=0),
]


class Odd(torch.utils.data.Dataset):
    """Samples with targets as a case has them."""

    def __init__(self, target: object) -> None:
        self.target = target

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[torch.Tensor, object]:
        return torch.zeros(3, 32, 32), self.target


_TARGETS: dict[str, object] = {
    "text": "cat",
    "a fraction": 2.5,
    "a huge number": 10**30,
    "a negative number": -1,
    "a list": [1, 2],
    "one-hot": torch.eye(10)[3],
    "NaN": float("nan"),
}


def odd(target: str) -> tuple[Odd, Odd]:
    return Odd(_TARGETS[target.replace("_", " ")]), Odd(_TARGETS[target.replace("_", " ")])


CASES = (
    *(Case(f"data: {name}", cli(*EVALUATE, text), says) for name, (text, says) in _NAMES.items()),
    *(
        Case(f"arrays: {name}", cli(*EVALUATE, "npz:{folder}/data.npz", make=make), says)
        for name, (make, says) in _ARRAYS.items()
    ),
    *(
        Case(
            f"an image folder: {name}",
            cli(*EVALUATE, "imagefolder:{folder}", "--json", "/dev/stdout", make=make),
            says,
            code,
        )
        for name, (make, says, code) in _FOLDERS.items()
    ),
    *_COLOURS,
    Case("a loop of links", python(_counted), "3 images", code=0),
    *(
        Case(
            f"targets: {name}",
            cli(*EVALUATE, f"python:tests.cases.data:odd?target={name.replace(' ', '_')}"),
            "class numbers",
        )
        for name in _TARGETS
    ),
)
