"""Configuration: one run as a TOML file that the command line, Python and the dashboard read and write.

    version = 1
    analysis = "ptq"

    [params]
    model = "sample:resnet20"
    bits = 4

A file that is written has every parameter, so that it means the same when a default changes, and a saved plan as a
value, so that it means the same on another machine. What is missing in a file that a person wrote is at its default.
"""

import tomllib
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import Field, ValidationError

from qanalysis.schema import paths
from qanalysis.schema.analyses import ANALYSES, COMMANDS
from qanalysis.schema.base import Record
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.task import TaskParams

#: Larger than any file that was written here; a wrong file is not read into memory.
_MOST_BYTES = 10_000_000


class Configuration(Record):
    """What a file says, before the parameters are checked by their analysis.

    Attributes:
        version: of the format.
        analysis: name of the analysis.
        params: its parameters, by name.
    """

    version: Literal[1]
    analysis: str
    params: dict[str, Any] = Field(default_factory=dict)


def to_toml(analysis: str, params: TaskParams) -> str:
    """The file's text for a run; parameters that are None have no word in TOML and are left out."""
    values = params.model_dump(mode="json", exclude_none=True)
    return tomli_w.dumps({"version": 1, "analysis": analysis, "params": values})


def load(path: Path) -> tuple[str, TaskParams]:
    """The analysis and the parameters in a file; whether its names may run code is for the caller to decide.

    Raises:
        UserError: with one sentence, if there is no such file, it is not TOML, of another version, or names what does
            not exist.
        OSError: if it cannot be read.
    """
    path = paths.file(path, "configuration file")
    if path.stat().st_size > _MOST_BYTES:
        raise UserError(f"{path} has {path.stat().st_size:,} bytes: that is no configuration file.")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not TOML: {error}") from None
    if content.get("version") != 1:
        raise UserError(f"{path} must start with version = 1, but has version = {content.get('version')!r}.")
    try:
        given = Configuration.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: {_first(error)}") from None
    if given.analysis not in COMMANDS:
        raise UserError(f"{path}: unknown analysis {given.analysis!r}; choose from {', '.join(COMMANDS)}.")
    try:
        return given.analysis, ANALYSES[given.analysis].params(**given.params)
    except ValidationError as error:
        raise UserError(f"{path}: params: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, and where."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "file"
    return f"{place}: {first['msg'].removeprefix('Value error, ')} (got {first['input']!r:.80})"
