"""`hf:ID-OR-FOLDER?task=…`: a network of the transformers library, with what prepares its inputs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import nn

from qanalysis.models.hub import files, heads
from qanalysis.models.hub.inputs import prepared_by
from qanalysis.models.loaded import LoadedModel
from qanalysis.names import Name
from qanalysis.schema.errors import UserError

#: What transformers raises on a folder that does not fit.
_FAILURES = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError, SafetensorError)


def load(name: Name) -> LoadedModel:
    """Builds a network from its configuration, with the weights beside it, or random ones (`@none`, or none there).

    The head is what the configuration says, or option `task`. Attention is written out by the tool, so that its
    products are sites.

    Raises:
        UserError: without the library, folder, repository or network; for gated repositories, those that need code of
            their own, weights that are no safetensors, an unknown head.
    """
    name.only("task")
    try:
        import transformers  # an extra
    except ImportError:
        raise UserError("hf: models need the transformers library: pip install 'qanalysis[hf]'.") from None
    full = str(name)
    where = files.folder(name)
    said = files.config_of(where, full)
    key, head, architecture = heads.chosen(said, name.options.get("task"), full)
    with_weights = not files.random(name) and files.has_weights(where, full)
    with _quiet(transformers):
        module, config, notes, missing = _built(name, where, said, head, architecture, with_weights)
        preparing = prepared_by(where, config, key)
    if not with_weights and not files.random(name):
        notes = (*notes, "There are no weights beside the configuration: they are random.")
    return LoadedModel(
        full,
        module,
        with_weights and not missing,
        f"{type(module).__name__} from {name.rest}" if with_weights else f"{type(module).__name__}, random weights",
        preparing.input_shape,
        preparing.transform,
        preparing.mean,
        preparing.std,
        str(said.get("model_type", "")),
        notes=(*notes, *preparing.notes),
        task=heads.measured_as(head),
        processor=preparing.processor,
    )


def _built(
    name: Name, where: Path, said: dict[str, Any], head: heads.Head, architecture: str | None, with_weights: bool
) -> tuple[nn.Module, Any, tuple[str, ...], tuple[str, ...]]:
    """The network, its configuration, what to tell of it, and the names of weights that were not there.

    Raises:
        UserError: if the library has no such network, or cannot build it.
    """
    import transformers

    kind = architecture or head.auto
    if architecture is not None and not _is_network(transformers, architecture):
        version = transformers.__version__
        raise UserError(f"transformers {version} has no {architecture}, which {name} is: install a version that has.")
    try:
        config = transformers.AutoConfig.from_pretrained(where, trust_remote_code=False, local_files_only=True)
        config.use_cache = False  # what has been said before is no output
        maker = getattr(transformers, kind)
        return _made(maker, config, where if with_weights else None, architecture)
    except _FAILURES as error:
        raise UserError(f"{name} cannot be built as {kind}: {_first(error)}") from None


def _is_network(transformers: Any, name: str) -> bool:
    """Whether a name that a file says is that of a network's class, and not of something else in the library."""
    kind = getattr(transformers, name, None)
    return isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without the library's progress bars and remarks."""
    logging = transformers.utils.logging
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        logging.enable_progress_bar()


def _made(
    maker: Any, config: Any, where: Path | None, architecture: str | None
) -> tuple[nn.Module, Any, tuple[str, ...], tuple[str, ...]]:
    if where is None:
        module = maker(config) if architecture is not None else maker.from_config(config, trust_remote_code=False)
        return module, config, (), ()
    module, info = maker.from_pretrained(
        where,
        config=config,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        dtype="float32",
    )
    missing = tuple(sorted(map(str, info["missing_keys"])))
    if not missing:
        return module, config, (), ()
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return module, config, (f"Weights of {missing[0]}{more} are not in the files: they are random.",), missing


def _first(error: Exception) -> str:
    """The first sentence of an error, which may be pages long."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = (lines or [type(error).__name__])[0].strip()
    return f"{text[:240]}{'' if text.endswith('.') else '.'}"
