"""The folder of a Hugging Face model: one on this machine, or a repository's files in the cache.

Only configurations, vocabularies and safetensors are fetched: a repository's code and its pickles never come near.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qanalysis.names import Name
from qanalysis.schema import paths
from qanalysis.schema.errors import UserError

_FETCHED = ["*.json", "*.txt", "*.model"]
_WEIGHTS = "*.safetensors"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
#: Seconds to wait for an answer of the hub.
_TIMEOUT = 10


def folder(name: Name) -> Path:
    """Where the files of a model or of data are, fetched if need be.

    Raises:
        UserError: if there is no such folder or repository, no network, or it may not be read.
    """
    if paths.is_path(name.rest):
        return paths.folder(name.rest, "an hf: model")
    return _fetched_model(name)


def random(name: Name) -> bool:
    """Whether a name asks for random weights."""
    return (name.variant or "").lower() == "none"


def config_of(where: Path, name: str) -> dict[str, Any]:
    """What `config.json` says.

    Raises:
        UserError: if there is none, it is damaged, or the network needs code of the repository's own.
    """
    path = where / "config.json"
    if paths.kind(path) != "file":
        raise UserError(
            f"{name} has no config.json; an hf: model is a folder that save_pretrained wrote, or a repository's id."
        )
    try:
        said = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{name}: config.json cannot be read ({' '.join(str(error).split())}).") from None
    if not isinstance(said, dict):
        raise UserError(f"{name}: config.json must hold an object, but holds {type(said).__name__}.")
    if said.get("auto_map"):
        raise UserError(
            f"{name} needs Python code of its own (auto_map in config.json), and what a file says is never run. If you "
            "trust it, import that code yourself in a factory and name it python:package.module:factory."
        )
    if said.get("quantization_config"):
        raise UserError(f"{name} is quantized already (quantization_config); give the floating-point network.")
    if (where / "adapter_config.json").is_file():
        raise UserError(f"{name} is an adapter to another network: merge it into that one first, and save the result.")
    return said


def has_weights(where: Path, name: str) -> bool:
    """Whether there are weights in safetensors; False where there are none at all.

    Raises:
        UserError: if there are weights, but as pickles only.
    """
    if any(where.glob(_WEIGHTS)):
        return True
    pickles = sorted(path.name for pattern in _PICKLES for path in where.glob(pattern))
    if pickles:
        raise UserError(
            f"{name} has its weights in {pickles[0]} only, which could run code when it is read; write them as "
            "safetensors once, model.save_pretrained(FOLDER), where you trust them, or take @none for random ones."
        )
    return False


def fetched_tables(name: Name) -> Path:
    """The folder of a repository of data: its Parquet, JSON and CSV files, or Parquet that the hub made of others.

    Raises:
        UserError: if there is no such repository, no network, or it may not be read.
    """
    tables = ["*.parquet", "*.jsonl", "*.csv"]
    where = _fetched(name, "dataset", tables)
    if not any(path.suffix in (".parquet", ".jsonl", ".csv") for path in where.rglob("*")):
        where = _fetched(replace(name, variant="refs/convert/parquet"), "dataset", tables)
    return where


def _fetched_model(name: Name) -> Path:
    return _fetched(name, "model", _FETCHED if random(name) else [*_FETCHED, _WEIGHTS])


def _fetched(name: Name, kind: str, patterns: Sequence[str]) -> Path:
    try:
        import huggingface_hub as hub  # an extra
        from huggingface_hub import errors
    except ImportError:
        raise UserError("hf: names need the transformers library: pip install 'qanalysis[hf]'.") from None
    revision = None if random(name) else name.variant
    options = {"repo_type": kind, "revision": revision, "allow_patterns": list(patterns)}
    if kind == "model":
        options["ignore_patterns"] = ["*/*"]  # other forms of the same
    try:
        options["revision"] = hub.HfApi().repo_info(name.rest, repo_type=kind, revision=revision, timeout=_TIMEOUT).sha
        return Path(hub.snapshot_download(name.rest, **options))
    except errors.HFValidationError:
        raise UserError(f"There is no folder {name.rest[:80]}, and no repository can have such an id.") from None
    except errors.GatedRepoError:
        raise UserError(
            f"{name.rest} is gated: accept its licence on huggingface.co/{name.rest} and log in on this machine "
            "(hf auth login), or name a folder that holds its files."
        ) from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"Hugging Face has no public {kind} {name.rest!r}, and there is no such folder here: look at the id; a "
            "private one needs hf auth login."
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(f"{name.rest} has no revision {revision!r}; write @none for random weights.") from None
    except (OSError, RuntimeError, errors.HfHubHTTPError) as error:
        return _cached(hub, name, options, error)
    except Exception as error:  # of the library that fetches, which has its own kinds
        if not type(error).__module__.startswith(("httpx", "httpcore", "requests", "urllib3")):
            raise
        return _cached(hub, name, options, error)


def _cached(hub: Any, name: Name, options: dict[str, Any], error: Exception) -> Path:
    """The files as they were fetched before."""
    try:
        return Path(hub.snapshot_download(name.rest, **options, local_files_only=True))
    except Exception:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UserError(
            f"{name.rest} could not be fetched from Hugging Face ({reason}), and was not before; connect to the "
            "internet once, or name a folder that holds its files: hf:./FOLDER."
        ) from None
