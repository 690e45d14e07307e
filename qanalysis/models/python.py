"""`python:package.module:factory`: a function of the user's that returns an `nn.Module`."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from qanalysis.models.loaded import LoadedModel
from qanalysis.models.processor import Processor, SpeechProcessor, TextProcessor
from qanalysis.names import Name
from qanalysis.schema.errors import UserError


def load(name: Name) -> LoadedModel:
    """Calls the factory, with the name's options as keyword arguments (strings).

    The factory may return a module, or a `LoadedModel` to say more about it (transform, mean and std).

    Raises:
        UserError: if it cannot be imported, fails, or returns something else.
    """
    result = call_factory(name)
    if isinstance(result, LoadedModel):
        return replace(result, name=str(name))
    if not isinstance(result, nn.Module):
        raise UserError(f"python:{name.rest} must return an nn.Module, but returned {type(result).__name__}.")
    origin = f"returned by {name.rest}"
    return LoadedModel(str(name), result, True, origin, architecture=name.rest, processor=brought(result, str(name)))


def brought(module: nn.Module, name: str) -> Processor | None:
    """The processor that a module has as an attribute; None where it has none.

    Raises:
        UserError: if it is something else.
    """
    found = getattr(module, "processor", None)
    if found is None or isinstance(found, TextProcessor | SpeechProcessor):
        return found
    raise UserError(
        f"{name}: its attribute processor must be a qanalysis.models.processor.TextProcessor or SpeechProcessor, but "
        f"{type(found).__name__} lacks {', '.join(_lacking(found))}."
    )


def _lacking(value: Any) -> list[str]:
    """The members of the nearer protocol that a value lacks."""
    wanted = SpeechProcessor if hasattr(value, "features") else TextProcessor
    names = {*wanted.__annotations__, *(key for key, entry in vars(wanted).items() if callable(entry))}
    return sorted(name for name in names if not name.startswith("_") and not hasattr(value, name))


def call_factory(name: Name) -> Any:
    """Imports `package.module` (the working folder included) and calls `factory`.

    Raises:
        UserError: with the reason, if that fails.
    """
    factory = imported(name.rest)
    try:
        return factory(**name.options)
    except Exception as error:
        raise UserError(f"python:{name.rest} failed: {type(error).__name__}: {error}") from error


def imported(name: str, what: str = "factory") -> Any:
    """What `package.module:name` is, with the working folder among the places to import from.

    Raises:
        UserError: with the reason, if it cannot be imported.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon:
        raise UserError(f"python: names are written python:package.module:{what}, but got python:{name}.")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except Exception as error:  # whatever the user's module does when it is imported
        kind = "" if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: "
        raise UserError(f"python:{name} cannot be imported: {kind}{error}.") from error
