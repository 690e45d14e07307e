"""Trained quantization: what a QAT checkpoint says besides its weights, kept in the header of its safetensors file."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from qanalysis.schema import paths
from qanalysis.schema.base import Record
from qanalysis.schema.errors import UserError
from qanalysis.schema.observations import RangeTable, table_of
from qanalysis.schema.plan import Plan

#: Key in the file's header.
KEY = "qanalysis"
_LARGEST_HEADER = 100_000_000


class TrainedQuantization(Record):
    """A network fine-tuned under a plan.

    Attributes:
        architecture: name of the model that was fine-tuned; its weights are those of the file.
        folded: whether batch norm was folded into the weights.
        plan: what was quantized in training.
        calibration: what training started from.
        learned: whether the ranges were learned.
        ranges: activation → (beta, alpha); None for an all-zero tensor.
        sites: all sites of the network.
    """

    version: Literal[1] = 1
    architecture: str
    folded: bool
    plan: Plan
    calibration: str
    learned: bool
    ranges: Mapping[str, tuple[float, float] | None]
    sites: tuple[str, ...]

    def table(self) -> RangeTable:
        """The ranges that it was trained with."""
        return table_of(self.ranges, "trained")

    def check(self, sites: list[str], where: str) -> None:
        """Refuses a checkpoint of another network.

        Raises:
            UserError: naming a site that only one of them has.
        """
        unknown = sorted(set(self.sites).symmetric_difference(sites))
        if unknown:
            holder = "the checkpoint" if unknown[0] in self.sites else "this architecture"
            raise UserError(
                f"{where} was trained under a plan for another network: only {holder} has the site {unknown[0]!r}."
            )


def read(path: Path) -> TrainedQuantization | None:
    """What the header of a safetensors file says; None if it is no QAT checkpoint, or no such file.

    Raises:
        UserError: if it is one of another version, or damaged.
    """
    if path.suffix != ".safetensors" or paths.kind(path) != "file":
        return None
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _LARGEST_HEADER:
                return None
            header = json.loads(file.read(length))
        text = header.get("__metadata__", {}).get(KEY)
    except (OSError, struct.error, ValueError, AttributeError, RecursionError):
        return None
    if text is None:
        return None
    try:
        return TrainedQuantization.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            f"{path} is a QAT checkpoint that cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}."
        ) from None
