"""The sources of models and data, with an example of each name, and what comes with the tool."""

import json
import os
from pathlib import Path

from qanalysis.schema.errors import StoreError

MODEL_SOURCES = {
    "sample": "sample:resnet20",
    "torchvision": "torchvision:resnet50@IMAGENET1K_V2",
    "timm": "timm:mobilenetv3_small_100",
    "hf": "hf:google/vit-base-patch16-224",
    "checkpoint": "checkpoint:PATH?arch=torchvision:resnet18",
    "python": "python:package.module:factory",
}
DATA_SOURCES = {
    "sample": "sample:cifar10",
    "torchvision": "torchvision:CIFAR10",
    "imagefolder": "imagefolder:PATH",
    "coco": "coco:PATH",
    "masks": "masks:PATH",
    "pairs": "pairs:PATH",
    "npz": "npz:PATH",
    "hf": "hf:ID-OR-PATH?input=COLUMN&target=COLUMN",
    "python": "python:package.module:factory",
}


def beside(name: str) -> Path:
    """A folder of the repository's top level: there in a checkout, within the package where a wheel was installed."""
    package = Path(__file__).parents[1]
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def samples_folder() -> Path:
    """The folder of the sample models: `QANALYSIS_SAMPLES`, or the one that comes with the program."""
    return Path(os.environ.get("QANALYSIS_SAMPLES") or beside("sample_models"))


def sample_models() -> dict[str, dict[str, object]]:
    """The sample models that are there, by name, each with the record that its training script wrote."""
    records = {}
    for path in sorted(samples_folder().glob("*.json")):
        if path.with_suffix(".safetensors").exists():
            records[path.stem] = json.loads(path.read_text())
    return records


def home() -> Path:
    """The folder for everything the tool keeps: `QANALYSIS_HOME`, or `~/.qanalysis`; made if it is not there.

    Raises:
        StoreError: if it cannot be made.
    """
    folder = Path(os.environ.get("QANALYSIS_HOME") or Path.home() / ".qanalysis")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = (
            "is a file"
            if isinstance(error, FileExistsError | NotADirectoryError)
            else f"cannot be made ({error.strerror})"
        )
        raise StoreError(
            f"The folder for results, {folder}, {what}: set QANALYSIS_HOME to a folder that can be written to."
        ) from error
    return folder
