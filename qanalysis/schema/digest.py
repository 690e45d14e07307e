"""Digest: the identity of a computation, so that what was measured is found again and never taken for another."""

import hashlib
import json

from qanalysis.schema import paths
from qanalysis.schema.base import Record
from qanalysis.schema.catalog import samples_folder
from qanalysis.schema.errors import UserError
from qanalysis.schema.tasks import AUTO


def digest(analysis: str, params: Record) -> str:
    """Identity of a computation: the analysis, its parameters, and all files that they name, as their content is now.

    A folder counts with the names, sizes and times of all files in it.
    """
    files: dict[str, object] = {}
    values = params.model_dump(mode="json")
    if values.get("task") == AUTO:  # what it was before there were others
        del values["task"]
    for name in (str(values.get("model", "")), str(values.get("data", ""))):
        source, _, rest = name.partition(":")
        if source == "sample":
            weights = rest.partition("?")[0].partition("@")[0]
            found = paths.fingerprint(samples_folder() / f"{weights}.safetensors")
            if found is not None:
                files[name] = found
            continue
        for number, path in enumerate(paths.named(name)):
            try:
                found = paths.fingerprint(paths.expanded(path))
            except UserError:  # who loads it says what is wrong
                continue
            if found is not None:
                files[name if number == 0 else f"{name} {number}"] = found
    text = json.dumps([analysis, values, files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
