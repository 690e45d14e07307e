"""Base of everything that is written to JSON."""

import math
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from qanalysis.schema import paths
from qanalysis.schema.errors import UserError
from qanalysis.schema.writing import save_text


class Record(BaseModel):
    """A frozen value with a JSON form; unknown keys and non-finite text are refused when it is read."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        # a field may have another name in JSON than in code: JSON names stay where better ones are found for code
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )

    def save(self, path: Path) -> None:
        """Writes the JSON form, whole or not at all."""
        save_text(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            UserError: if the file is not such a record.
        """
        try:
            return cls.model_validate_json(paths.file(path).read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "file"
            raise UserError(f"{path} is not a {cls.__name__}: {where}: {first['msg']}") from None


def finite(value: float) -> float | None:
    """The value, or None where it is infinite or not a number: JSON has no word for those."""
    return value if math.isfinite(value) else None
