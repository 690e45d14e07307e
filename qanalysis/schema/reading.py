"""Reading: JSON that people hand over."""

import json
from pathlib import Path
from typing import Any

from qanalysis.schema import paths
from qanalysis.schema.errors import UserError


def json_object(path: Path, what: str) -> dict[str, Any]:
    """The object in a JSON file.

    Args:
        path: of the file.
        what: what it should be, for the error.

    Raises:
        UserError: if there is no such file, it is no JSON, or something else than an object.
    """
    try:
        content = json.loads(paths.file(path).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} is no {what}: it is not JSON ({error}).") from None
    except RecursionError:
        raise UserError(f"{path} is no {what}: its JSON is nested too deeply.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is no {what}: a JSON object is expected, but it holds a {type(content).__name__}.")
    return content
