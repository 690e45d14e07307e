"""Files: a network written in the flavours that engines take; whole or not at all."""

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import onnx

from qanalysis.engines.export.calibration import as_json, as_tensorrt_cache
from qanalysis.engines.export.graph import Network
from qanalysis.engines.export.half import to_half
from qanalysis.engines.export.operands import Operands
from qanalysis.engines.export.unsigned import unsigned
from qanalysis.schema.errors import UserError
from qanalysis.schema.observations import RangeTable
from qanalysis.schema.writing import whole


def check_writable(folder: Path) -> None:
    """Makes the folder and a file in it, before hours of work end at a missing permission.

    Raises:
        UserError: if that is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"The files cannot be written to {folder}: {error.strerror or error}.") from None


def write(
    folder: Path,
    stem: str,
    flavours: tuple[str, ...],
    network: Network,
    floating: Network,
    operands: Operands,
    ranges: RangeTable,
    about: dict[str, str],
) -> list[tuple[Path, str]]:
    """Writes the flavours asked for; returns the files, each with its flavour.

    Args:
        folder: where they go.
        stem: what their names begin with.
        flavours: keys of `schema.flavours.FLAVOURS`.
        network: the network under the plan.
        floating: the same in floating point.
        operands: integers and steps in it.
        ranges: where the steps come from.
        about: what the ONNX files say of themselves.

    Raises:
        OSError: if the disk is full; what was begun is removed.
        UserError: if a value does not fit into fp16.
    """
    written: list[tuple[Path, str]] = []

    def keep(name: str, flavour: str, save: Callable[[Path], object]) -> None:
        path = folder / name
        with whole(path) as partial:
            save(partial)
        written.append((path, flavour))

    if "onnx" in flavours:
        keep(f"{stem}_int8.onnx", "onnx", lambda path: _save_onnx(network.proto, path, about))
    if "onnx-fp16" in flavours:
        half = to_half(network.proto)
        keep(f"{stem}_int8_fp16.onnx", "onnx-fp16", lambda path: _save_onnx(half, path, about))
    if "onnx-fp32" in flavours or "tensorrt-cache" in flavours:
        keep(f"{stem}_fp32.onnx", "onnx-fp32", lambda path: _save_onnx(floating.proto, path, about))
    if "openvino" in flavours:
        written += _save_openvino(network.proto, folder, f"{stem}_int8")
    if "calibration" in flavours:
        text = json.dumps(about | as_json(network, operands, ranges), indent=1) + "\n"
        keep(f"{stem}_calibration.json", "calibration", lambda path: path.write_text(text))
    if "tensorrt-cache" in flavours:
        cache = as_tensorrt_cache(floating, operands)
        keep(f"{stem}_calibration.cache", "tensorrt-cache", lambda path: path.write_text(cache))
    return written


def sha256(path: Path) -> str:
    """Digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _save_onnx(proto: onnx.ModelProto, path: Path, about: dict[str, str]) -> None:
    described = onnx.ModelProto()
    described.CopyFrom(proto)
    onnx.helper.set_model_props(described, about)
    path.write_bytes(described.SerializeToString())


def _save_openvino(proto: onnx.ModelProto, folder: Path, stem: str) -> list[tuple[Path, str]]:
    import openvino

    model = openvino.Core().read_model(unsigned(proto).SerializeToString())
    with tempfile.TemporaryDirectory(dir=folder, prefix=".openvino-") as place:
        try:
            openvino.save_model(model, Path(place) / f"{stem}.xml", compress_to_fp16=False)
        except RuntimeError as error:  # what a full disk is to it
            raise OSError(f"OpenVINO could not write {folder / stem}.xml: {' '.join(str(error).split())}") from None
        files = []
        for suffix in (".xml", ".bin"):
            path = folder / f"{stem}{suffix}"
            (Path(place) / path.name).replace(path)
            files.append((path, "openvino"))
    return files
