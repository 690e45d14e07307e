"""`hf:PATH-OR-ID?input=COLUMN&target=COLUMN`: tables of the datasets library, Parquet, JSON or CSV.

A repository's tables are fetched and read here like files of one's own: no script of it, and none of the formats that
can hold pickles, is ever looked at. What a cell holds decides what becomes of it: text goes through the model's
tokenizer, an image through its image processor, numbers are taken as they are. Paths in cells are not followed.
"""

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from qanalysis.data.loaded import LoadedData
from qanalysis.data.order import parted
from qanalysis.data.preprocessing import IMAGENET, centre_crop, normalization
from qanalysis.data.split import DatasetSplit, Sample
from qanalysis.models.hub.files import fetched_tables
from qanalysis.models.loaded import LoadedModel
from qanalysis.models.processor import SpeechProcessor, TextProcessor
from qanalysis.names import Name
from qanalysis.schema import paths
from qanalysis.schema.catalog import home
from qanalysis.schema.errors import UserError

_READERS = {".parquet": "parquet", ".json": "json", ".jsonl": "json", ".csv": "csv"}
#: Words in the names of files and folders that say which split a table is of; the first that fits.
_SPLITS = {"train": ("train",), "validation": ("validation", "valid", "dev", "val"), "test": ("test",)}
_ALL = "all"
#: Columns that are targets if nobody says: classes.
_LABELS = ("label", "labels", "class", "target")
_FAILURES = (OSError, ValueError, TypeError, KeyError, RuntimeError, ArithmeticError)


def load(name: Name, model: LoadedModel, seed: int) -> LoadedData:
    """Calibration and training samples from the training table, evaluation samples from another.

    Options: `input`, one column or several separated by commas (two texts are a pair; numbers of several columns are
    given by name); `target`, a column of classes or numbers, `none` for none; `evaluation` and `training`, names of
    splits; `config`, a part of the path, where a repository holds several tables. A split is told by the names of files
    and folders. Where there is but one, part of it is set aside for calibration.

    Raises:
        UserError: without the library, tables or columns, or for cells that nothing can be made of.
    """
    name.only("input", "target", "evaluation", "training", "config")
    try:
        import datasets  # an extra
    except ImportError:
        raise UserError("hf: data needs the datasets library: pip install 'qanalysis[hf]'.") from None
    tables = _tables(name)
    evaluated = _named_split(name, "evaluation", tables, ("validation", "test", _ALL, "train"))
    trained = _named_split(name, "training", tables, ("train", evaluated))
    rows = {split: _read(datasets, name, tables[split]) for split in {evaluated, trained}}
    inputs, target = _columns(name, rows[evaluated])
    cells = {split: Cells(table, inputs, target, _Making(name, model)) for split, table in rows.items()}
    apart = None if trained == evaluated else len(cells[trained])
    first, last, rest = parted(len(cells[evaluated]), apart, seed, f"row in {name}")
    classes = getattr(rows[evaluated].features.get(target), "names", None) if target else None
    images = _is_image(cells[evaluated].table[0][inputs[0]])

    def split(which: str, order: Any) -> DatasetSplit:
        mean, std = (model.mean, model.std) if images else (None, None)
        called = f"row {{}} of {which}".format
        return DatasetSplit(cells[which], order, mean=mean, std=std, name=called, by_size=True)

    return LoadedData(
        str(name),
        f"{len(cells[evaluated]):,} rows of {evaluated} in {name.rest}",
        split(trained, first),
        split(evaluated, last),
        split(trained, rest) if len(rest) else None,
        target is not None,
        tuple(classes or ()),
        (),
        images=images,
        labels=_labels(rows[evaluated], target),
    )


@dataclass(frozen=True, eq=False)
class Cells:
    """Rows of a table as samples of a model."""

    table: Any
    inputs: tuple[str, ...]
    target: str | None
    making: "_Making"

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.table)

    def __getitem__(self, position: int) -> Sample:
        """Input and target of a row."""
        row = self.table[position]
        target = None if self.target is None else row[self.target]
        return self.making.input({column: row[column] for column in self.inputs}), _target(target)


@dataclass(frozen=True, eq=False)
class _Making:
    """Makes a model's inputs of cells."""

    name: Name
    model: LoadedModel

    def input(self, cells: Mapping[str, Any]) -> Any:
        """One input.

        Raises:
            UserError: if the model does not say how.
            ValueError: if a cell holds nothing that can be read.
        """
        values = list(cells.values())
        if any(value is None for value in values):
            raise ValueError(f"its {next(key for key, value in cells.items() if value is None)} is empty")
        if all(isinstance(value, str) for value in values):
            return self._text(values)
        if len(values) == 1 and _is_image(values[0]):
            return self._image(values[0])
        numbers = {column: _numbers(value) for column, value in cells.items()}
        processor = self.model.processor
        if len(values) == 1:
            only = next(iter(numbers.values()))
            speaks = isinstance(processor, SpeechProcessor) and only.is_floating_point() and only.ndim == 1
            return processor.features(only) if speaks else only  # type: ignore[union-attr]
        return numbers

    def _text(self, texts: Sequence[str]) -> Mapping[str, torch.Tensor]:
        processor = self.model.processor
        if not isinstance(processor, TextProcessor):
            raise UserError(
                f"{self.name} holds texts, but {self.model.name} brings no tokenizer: put one into its folder "
                "(tokenizer.save_pretrained), or give columns of token ids."
            )
        if len(texts) > 2:
            raise UserError(f"{self.name}: an input is one text or a pair, but {len(texts)} columns are texts.")
        encoded = processor.encode(*texts)
        if processor.longest is not None and len(encoded) > processor.longest:
            raise ValueError(f"{len(encoded)} tokens are more than the network's {processor.longest}")
        return encoded.inputs

    def _image(self, cell: Mapping[str, Any]) -> torch.Tensor:
        if not cell.get("bytes"):
            raise ValueError("the image is a path, and paths in cells are not followed; embed the images")
        with Image.open(io.BytesIO(cell["bytes"])) as image:
            if self.model.transform is not None:
                return self.model.transform(image.convert("RGB"))
            if self.model.input_shape is None or len(self.model.input_shape) != 3:
                raise UserError(f"{self.model.name} does not say which size its images have.")
            channels, height, width = self.model.input_shape
            chosen = normalization(self.name, self.model, channels, IMAGENET, "ImageNet's mean and standard deviation")
            return centre_crop((channels, height, width), chosen)(image)


def _tables(name: Name) -> dict[str, list[str]]:
    """Files by split.

    Raises:
        UserError: if there is no table.
    """
    if not paths.is_path(name.rest):
        root = fetched_tables(name)
    else:
        root = paths.checked(name.rest)
        if paths.kind(root) != "folder":
            root = paths.file(root, "table")
    found = [root] if root.is_file() else [entry.path for entry in paths.walk(root)]
    part = name.options.get("config")
    by_split: dict[str, list[str]] = defaultdict(list)
    for path in found:
        inside = path.relative_to(root).as_posix() if path != root else path.name
        if path.suffix.lower() in _READERS and (part is None or part in inside.split("/")):
            by_split[_split_of(inside)].append(str(path.absolute()))
    if not by_split:
        raise UserError(f"{name} has no table: Parquet, JSON (lines) or CSV, {', '.join(_READERS)}.")
    return dict(by_split)


def _split_of(inside: str) -> str:
    for part in reversed(inside.lower().split("/")):
        word = part.replace("_", "-").replace(".", "-").split("-")
        for split, names in _SPLITS.items():
            if any(one in names for one in word):
                return split
    return _ALL


def _named_split(name: Name, option: str, tables: Mapping[str, Any], preferred: Sequence[str]) -> str:
    asked = name.options.get(option)
    if asked is None:
        return next(split for split in (*preferred, *tables) if split in tables)
    if asked not in tables:
        raise UserError(f"{name.rest} has no split {asked[:80]!r}; choose from {', '.join(tables)}.")
    return asked


def _read(datasets: Any, name: Name, files: list[str]) -> Any:
    kinds = {_READERS[Path(path).suffix.lower()] for path in files}
    if len(kinds) > 1:
        raise UserError(f"{name}: tables of one split must have one format, but are {' and '.join(sorted(kinds))}.")
    datasets.disable_progress_bars()
    try:
        table = datasets.load_dataset(
            kinds.pop(), data_files={"rows": files}, split="rows", cache_dir=str(home() / "tables")
        )
        for column, feature in table.features.items():
            if type(feature).__name__ in ("Image", "Audio", "Video", "Pdf"):
                table = table.cast_column(column, type(feature)(decode=False))  # a path in a cell is not opened
    except Exception as error:  # of formats' own libraries, which share no class
        cause = error.__cause__ or error
        reason = " ".join(str(cause).split())[:200] or type(cause).__name__
        raise UserError(f"{name}: {Path(files[0]).name} cannot be read ({reason}).") from None
    if not len(table):
        raise UserError(f"{name}: {Path(files[0]).name} has no rows.")
    return table


def _columns(name: Name, table: Any) -> tuple[tuple[str, ...], str | None]:
    """Columns of the input, and of the target.

    Raises:
        UserError: naming the columns, if one is not there or it is not clear which.
    """
    have = list(table.column_names)
    target = name.options.get("target")
    if target is None:
        target = next((column for column in _LABELS if column in have), None)
    elif target == "none":
        target = None
    asked = name.options.get("input")
    others = [column for column in have if column != target]
    if asked is None and len(others) != 1:
        raise UserError(f"Say which column of {name} is the input: ?input=COLUMN; it has {', '.join(have)}.")
    inputs = tuple(asked.split(",")) if asked is not None else tuple(others)
    for column in (*inputs, *((target,) if target is not None else ())):
        if column not in have:
            raise UserError(f"{name} has no column {column[:80]!r}; it has {', '.join(have)}.")
    return inputs, target


def _labels(table: Any, target: str | None) -> int | None:
    """One more than the largest class, where targets are whole numbers."""
    if target is None or not str(getattr(table.features[target], "dtype", "")).startswith("int"):
        return None
    return int(max(table[target])) + 1


def _target(value: Any) -> Any:
    if isinstance(value, str):
        raise UserError(f"A target must be a class number or numbers, but is the text {value[:40]!r}; map it first.")
    return torch.as_tensor(np.asarray(value)) if isinstance(value, list) else value


def _is_image(value: Any) -> bool:
    return isinstance(value, Mapping) and "bytes" in value and "path" in value


def _numbers(value: Any) -> torch.Tensor:
    array = np.asarray(value)
    if array.dtype.kind not in "iufb":
        raise ValueError(f"it holds {type(value).__name__}, which is neither text, image nor numbers")
    return torch.from_numpy(array.astype(np.float32 if array.dtype.kind == "f" else np.int64))
