"""`pairs:FILE` and `sample:numbers`: sentences in two languages, as tokens of the model's own vocabulary."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from qanalysis.data.loaded import LoadedData
from qanalysis.data.order import by_size, parted, shuffled
from qanalysis.data.split import DatasetSplit, Sample
from qanalysis.models.loaded import LoadedModel
from qanalysis.models.processor import TextProcessor
from qanalysis.names import Name
from qanalysis.schema import paths
from qanalysis.schema.catalog import samples_folder
from qanalysis.schema.errors import UserError

Pair = tuple[str, str]
#: Keys of a JSON line, if its options do not name them.
_KEYS = ("source", "target")
_LARGEST = 2**28


class PairDataset:
    """Pairs of sentences, encoded when they are asked for.

    A sample is a dictionary of the source's tokens and, under the name that the processor gives, the target's behind
    the start token; its target is `{"text": str, "tokens": int64 (T,)}`.
    """

    def __init__(self, pairs: Sequence[Pair], texts: TextProcessor) -> None:
        self.pairs = pairs
        self._texts = texts

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.pairs)

    def __getitem__(self, position: int) -> Sample:
        """A pair.

        Raises:
            ValueError: if a sentence is empty, longer than the network's positions, or not of its vocabulary.
        """
        source, target = self.pairs[position]
        if not source.strip() or not target.strip():
            raise ValueError("one of the two sentences is empty")
        inputs = dict(self._texts.encode(source).inputs)
        tokens = self._texts.target(target)
        length, longest = max(len(next(iter(inputs.values()))), len(tokens)), self._texts.longest
        if longest is not None and length > longest:
            raise ValueError(f"it has {length} tokens, but the network {longest} positions")
        given = torch.tensor([int(self._texts.start or 0), *tokens[:-1]])
        return {**inputs, self._texts.decoder_input: given}, {"text": target, "tokens": torch.tensor(tokens)}

    def sizes(self) -> list[tuple[int, int]]:
        """Number of tokens of both sentences of every pair; zeros where one cannot be read."""
        found = []
        for position in range(len(self)):
            try:
                inputs, target = self[position]
                found.append((len(next(iter(inputs.values()))), len(target["tokens"])))
            except ValueError:
                found.append((0, 0))
        return found


def load(name: Name, model: LoadedModel, seed: int) -> LoadedData:
    """Pairs of a TSV file (two columns, no header) or of JSON lines (`?source=KEY&target=KEY` name their keys).

    A quarter, at most 1,024 pairs, is set aside to calibrate.

    Raises:
        UserError: if the file is missing, no text, or has no pairs, or the model has no vocabulary.
    """
    name.only(*_KEYS)
    file = paths.file(name.rest, "file of pairs")
    pairs = read(file, tuple(name.options.get(key, key) for key in _KEYS))
    dataset = PairDataset(pairs, _texts(model, str(name)))
    first, last, _ = parted(len(pairs), None, seed, f"pair in {file}")
    sizes = dataset.sizes()
    return LoadedData(
        str(name),
        f"{len(pairs):,} pairs of sentences in {file}",
        _split(dataset, first, sizes),
        _split(dataset, last, sizes),
        None,
        True,
        task="translation",
    )


def numbers(name: Name, model: LoadedModel, seed: int) -> LoadedData:
    """Numbers in words, German and English: 500 to evaluate, 256 to calibrate and 4,000 further ones to train.

    Raises:
        UserError: for an unknown option, if the file is not there, or the model has no vocabulary.
    """
    name.only()
    file = samples_folder() / "data" / "numbers.json"
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise UserError(
            f"The sample data is not in {file.parent}; run from a checkout of the repository, or set QANALYSIS_SAMPLES."
        ) from None
    texts = _texts(model, str(name))

    def split(part: str, order_seed: int) -> DatasetSplit:
        dataset = PairDataset([(german, english) for german, english in content["parts"][part]], texts)
        return _split(dataset, shuffled(len(dataset), order_seed), dataset.sizes())

    return LoadedData(
        str(name),
        "numbers below a thousand million in words, German and English, written by num2words",
        split("calibration", seed),
        split("test", 0),
        split("train", seed),
        True,
        task="translation",
    )


def read(file: Path, keys: tuple[str, ...] = _KEYS) -> list[Pair]:
    """The pairs of a file.

    Raises:
        UserError: naming the line, if it is not a pair.
    """
    if file.stat().st_size > _LARGEST:
        raise UserError(f"{file} has more than {_LARGEST // 2**20} MB; give a part of it.")
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{file} is no text in UTF-8: pairs are a TSV file or JSON lines.") from None
    as_json = file.suffix.lower() in (".jsonl", ".json", ".ndjson")
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found.append(_of_json(line, keys, file, number) if as_json else _of_tsv(line, file, number))
    if not found:
        raise UserError(f"{file} has no pairs of sentences.")
    return found


def _of_tsv(line: str, file: Path, number: int) -> Pair:
    columns = line.split("\t")
    if len(columns) != 2:
        raise UserError(
            f"Line {number} of {file} must have two columns with a tab between them, but has {len(columns)}."
        )
    return columns[0].strip(), columns[1].strip()


def _of_json(line: str, keys: tuple[str, ...], file: Path, number: int) -> Pair:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"Line {number} of {file} is no JSON ({str(error)[:80]}); one object a line.") from None
    source, target = (entry.get(key) for key in keys) if isinstance(entry, dict) else (None, None)
    if not isinstance(source, str) or not isinstance(target, str):
        raise UserError(
            f"Line {number} of {file} must be an object with the texts {keys[0]!r} and {keys[1]!r}; other keys are "
            "named by ?source=KEY&target=KEY."
        )
    return source.strip(), target.strip()


def _split(dataset: PairDataset, order: NDArray[Any], sizes: list[tuple[int, int]]) -> DatasetSplit:
    """Pairs of one length stand together, so that nothing is padded and batches are full."""
    return DatasetSplit(dataset, by_size(order, sizes), name="pair {}".format, by_size=True)


def _texts(model: LoadedModel, data: str) -> TextProcessor:
    if not isinstance(model.processor, TextProcessor):
        raise UserError(f"{data} holds sentences, but {model.name} has no vocabulary to read them with.")
    return model.processor
