"""The folder of a Hugging Face model: one on this machine, or a repository's files in the cache.

Only configurations, vocabularies and safetensors are fetched: a repository's code and its pickles never come near.
"""

import json
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
    if paths.is_folder(name.rest):
        return paths.folder(name.rest, "an hf: model")
    return _fetched(name)


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


def _fetched(name: Name) -> Path:
    try:
        import huggingface_hub as hub  # an extra
        from huggingface_hub import errors
    except ImportError:
        raise UserError("hf: names need the transformers library: pip install 'qanalysis[hf]'.") from None
    wanted = list(_FETCHED) if random(name) else [*_FETCHED, _WEIGHTS]
    revision = None if random(name) else name.variant
    options = {"revision": revision, "allow_patterns": wanted, "ignore_patterns": ["*/*"]}
    try:
        info = hub.HfApi().model_info(name.rest, revision=revision, timeout=_TIMEOUT)
        options["revision"] = info.sha
        if not random(name) and not any(one.rfilename.endswith(".safetensors") for one in info.siblings or ()):
            options["allow_patterns"] = _FETCHED
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
            f"Hugging Face has no public model {name.rest!r}, and there is no such folder here: look at the id; a "
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
