"""Digest: the identity of a computation, so that what was measured is found again and never taken for another."""

import hashlib
import json
from pathlib import Path

from qanalysis.schema.base import Record
from qanalysis.schema.catalog import samples_folder


def digest(analysis: str, params: Record) -> str:
    """Identity of a computation: the analysis, its parameters, and the files that they name as these are now."""
    files = {}
    values = params.model_dump(mode="json")
    for name in (str(values.get("model", "")), str(values.get("data", ""))):
        source, _, rest = name.partition(":")
        rest = rest.partition("?")[0].partition("@")[0]
        path = samples_folder() / f"{rest}.safetensors" if source == "sample" else Path(rest)
        if source != "python" and path.exists():
            status = path.stat()
            files[name] = (status.st_mtime_ns, status.st_size)
    text = json.dumps([analysis, values, files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
