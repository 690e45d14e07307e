"""`npz:PATH`: arrays `x_train y_train x_test y_test` in one NumPy file."""

import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qanalysis.data.loaded import LoadedData
from qanalysis.data.order import CALIBRATION_SAMPLES, fair
from qanalysis.data.preprocessing import normalization, size_warning
from qanalysis.data.split import ArraySplit
from qanalysis.models.loaded import LoadedModel
from qanalysis.names import Name
from qanalysis.schema import paths
from qanalysis.schema.errors import UserError

CORRUPT = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, struct.error, SyntaxError)
CORRUPT_HEADER = (tokenize.TokenError, NotImplementedError, MemoryError, OverflowError, TypeError)


def load(name: Name, model: LoadedModel, seed: int) -> LoadedData:
    """Calibration and training images from `x_train`, evaluation images from `x_test`; labels may be left out.

    Raises:
        UserError: if the file is missing or corrupt, holds pickled objects, or its arrays do not fit.
    """
    name.only("mean", "std")
    path = paths.file(name.rest)
    arrays = read(path)
    for key in ("x_train", "x_test"):
        if key not in arrays:
            have = ", ".join(sorted(arrays)) or "nothing"
            raise UserError(f"{path} must hold x_train and x_test, but {key} is missing (it holds {have}).")
    x_train, x_test = (_images(path, key, arrays[key], model) for key in ("x_train", "x_test"))
    y_train, y_test = (
        _labels(path, f"y_{part}", arrays.get(f"y_{part}"), len(images))
        for part, images in (("train", x_train), ("test", x_test))
    )
    if x_train.shape[1:] != x_test.shape[1:]:
        raise UserError(
            f"{path}: training and test images must have one shape, but are {x_train.shape[1:]} and {x_test.shape[1:]}."
        )
    chosen = normalization(name, model, x_train.shape[3], ((0.0,), (1.0,)), "mean 0 and standard deviation 1")
    order = fair(y_train, len(x_train), seed)
    calibration, rest = order[:CALIBRATION_SAMPLES], order[CALIBRATION_SAMPLES:]
    return LoadedData(
        str(name),
        f"{len(x_train):,} training and {len(x_test):,} test images in {path.name}",
        ArraySplit(x_train, y_train, chosen.mean, chosen.std, calibration),
        ArraySplit(x_test, y_test, chosen.mean, chosen.std, fair(y_test, len(x_test), 0)),
        ArraySplit(x_train, y_train, chosen.mean, chosen.std, rest) if len(rest) else None,
        y_test is not None,
        (),
        (*chosen.warnings, *size_warning(model, *x_train.shape[1:3])),
        images=x_train.shape[3] == 3,
        labels=None if y_test is None else int(y_test.max()) + 1,
    )


def read(path: Path) -> dict[str, NDArray[np.generic]]:
    """The arrays of an `.npz` file; nothing in it is ever unpickled.

    Raises:
        UserError: with one sentence, if it is missing, corrupt, or holds pickled objects.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}; npz: data is written npz:PATH.")
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.lib.npyio.NpzFile):
            with content:
                return {key: content[key] for key in content.files}
    except (*CORRUPT, *CORRUPT_HEADER) as error:
        if "Object arrays" in str(error):
            raise UserError(
                f"{path} holds pickled objects, which are not loaded; save plain arrays: np.savez(path, x_train=…)."
            ) from None
        raise UserError(f"{path} is corrupt or not an .npz file ({type(error).__name__}: {error}).") from None
    raise UserError(f"{path} is a single array; save several with names: np.savez(path, x_train=…).")


def _images(path: Path, key: str, array: NDArray[np.generic], model: LoadedModel) -> NDArray[np.uint8]:
    if array.dtype != np.uint8 or array.ndim not in (3, 4):
        raise UserError(
            f"{path}: {key} must be uint8 images (N, H, W, C) or (N, H, W), but is {array.dtype} {array.shape}."
        )
    images = np.asarray(array[..., None] if array.ndim == 3 else array, np.uint8)
    if images.shape[3] > 4 and images.shape[1] <= 4:
        raise UserError(f"{path}: {key} must be (N, H, W, C), but {array.shape} looks like (N, C, H, W); transpose it.")
    if 0 in images.shape:
        raise UserError(f"{path}: {key} holds no images, its shape is {array.shape}.")
    if images.shape[3] == 1 and model.input_shape is not None and model.input_shape[0] == 3:
        return np.broadcast_to(images, (*images.shape[:3], 3))
    return images


def _labels(path: Path, key: str, array: NDArray[np.generic] | None, images: int) -> NDArray[np.int64] | None:
    if array is None:
        return None
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise UserError(f"{path}: {key} must be class numbers (N,), but is {array.dtype} {array.shape}.")
    if len(array) != images:
        raise UserError(f"{path}: {key} must have a label for each image, but has {len(array)} for {images} images.")
    if array.min() < 0 or array.max() >= 2**31:
        wrong = array.min() if array.min() < 0 else array.max()
        raise UserError(f"{path}: {key} must be class numbers from 0 up, but holds {wrong}.")
    return array.astype(np.int64)
