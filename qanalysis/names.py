"""Names of models and data: `source:name@variant?option=value&…`; which of them run code, and which read files.

A name is trusted as far as its words are somebody's own: on the command line and in Python it may import that person's
code. What comes out of a file or an address may not (`refuse_code`), and what a page asks for stays in the server's
folders as well (`refuse_from_page`). These two functions are the only gate.
"""

import os
from dataclasses import dataclass, field
from typing import Any

from qanalysis.schema.errors import UserError
from qanalysis.schema.paths import FILES, allowed, expanded, named, outside

#: Set to 1 when the server is started to allow names that import the user's code.
ALLOW_PYTHON = "QANALYSIS_ALLOW_PYTHON"
#: Source of what was given as an object.
GIVEN_SOURCE = "given"
#: Sources of architectures that a file may name: they come with the tool or with a library.
LIBRARIES = ("sample", "torchvision", "timm", "hf")


@dataclass(frozen=True)
class Name:
    """A parsed name, e.g. `torchvision:resnet50@IMAGENET1K_V2` or `checkpoint:net.pt?arch=torchvision:resnet18`.

    Attributes:
        source: what stands before the first colon.
        rest: what stands after it, without variant and options.
        variant: what stands after `@`, or None.
        options: what stands after `?`.
    """

    source: str
    rest: str
    variant: str | None = None
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, what: str, sources: dict[str, str]) -> "Name":
        """Reads a name.

        Args:
            text: the name.
            what: "model" or "data", for the error.
            sources: the sources known, each with an example.

        Raises:
            UserError: for an unknown source or an empty rest.
        """
        source, colon, rest = text.strip().partition(":")
        if source not in sources or not colon or not rest:
            examples = ", ".join(sources.values())
            raise UserError(f"Unknown {what} {text!r}; write one like {examples}.")
        rest, _, query = rest.partition("?")
        # no %-decoding: what stands before the ? is taken as it is, too, and paths may hold + and %
        options = {key: value for key, _, value in (part.partition("=") for part in query.split("&") if part)}
        rest, at, variant = (rest, "", "") if source in FILES else rest.partition("@")
        return cls(source, rest, variant if at else None, options)

    def __str__(self) -> str:
        """The name in writing, which parses to the same again."""
        variant = "" if self.variant is None else f"@{self.variant}"
        options = "&".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.source}:{self.rest}{variant}" + (f"?{options}" if options else "")

    def count(self, option: str) -> int | None:
        """An option that is a whole number from 1 up; None if it is not given.

        Raises:
            UserError: if it is none.
        """
        text = self.options.get(option)
        if text is None:
            return None
        if not text.isdecimal() or int(text) < 1:
            raise UserError(
                f"Option {option} of {self.source}: names must be a whole number from 1 up, but got {text!r}."
            )
        return int(text)

    def only(self, *known: str) -> "Name":
        """Refuses options that the source does not know.

        Raises:
            UserError: naming the first unknown option.
        """
        for option in self.options:
            if option not in known:
                choices = ", ".join(known) or "none"
                raise UserError(f"Unknown option {option!r} of {self.source}: names; choose from {choices}.")
        return self


#: Option of every model's name: GELU and Swish give at most this (Appendix D).
CLIP = "clip"


def without_clip(name: str) -> tuple[str, float | None]:
    """The name of a model without its option `clip`, and what that says.

    Raises:
        UserError: if it is not a positive number.
    """
    start, _, query = name.partition("?")
    options = [part for part in query.split("&") if part]
    said = [part.partition("=")[2] for part in options if part.partition("=")[0] == CLIP]
    if not said:
        return name, None
    try:
        limit = float(said[-1])
    except ValueError:
        limit = float("nan")
    if not 0 < limit < float("inf"):
        raise UserError(
            f"Option {CLIP} of a model's name must be a positive number, as in {CLIP}=10, not {said[-1]!r}."
        )
    others = "&".join(part for part in options if part.partition("=")[0] != CLIP)
    return f"{start}?{others}" if others else start, limit


def with_clip(name: str, limit: float) -> str:
    """The name of a model whose GELU and Swish give at most `limit`."""
    plain, _ = without_clip(name)
    return f"{plain}{'&' if '?' in plain else '?'}{CLIP}={limit:g}"


#: What was given to `qanalysis.run` as an object, by the name that stands for it in this process.
GIVEN: dict[str, Any] = {}


def give(value: Any) -> str:
    """A name for an object of this process: a network, data or a task."""
    name = f"{GIVEN_SOURCE}:{type(value).__name__}-{len(GIVEN) + 1}"
    GIVEN[name] = value
    return name


def given(name: str) -> Any:
    """The object of a name that `give` made.

    Raises:
        UserError: if it was given in another process.
    """
    if name not in GIVEN:
        raise UserError(
            f"{_short(name)} is an object of the Python process that it was given in: name a factory instead."
        )
    return GIVEN[name]


def imports_code(name: str) -> bool:
    """Whether loading a name may import code: `python:` itself, or as the architecture of a checkpoint."""
    source, _, rest = name.strip().partition(":")
    if source.strip().casefold() == "python":
        return True
    options = rest.partition("?")[2].split("&")
    return any(imports_code(value) for key, _, value in (part.partition("=") for part in options) if key == "arch")


def refuse_code(*names: str, where: str, remedy: str) -> None:
    """Refuses names that import code, since they are not their user's own words.

    Args:
        names: of models and data.
        where: what they come from, the sentence's subject, e.g. "ptq.toml".
        remedy: what to do where they are trusted.

    Raises:
        UserError: naming the first.
    """
    for name in names:
        if imports_code(name):
            raise UserError(f"{where} names {_short(name)}, which would run code: {remedy}")


def refuse_from_page(*names: str) -> None:
    """Refuses what nobody may ask a server for from a page: code, unless it allows that, and files elsewhere.

    Raises:
        UserError: with what to start the server with; it does not say whether a file exists.
    """
    if os.environ.get(ALLOW_PYTHON) != "1":
        remedy = f"start the dashboard with {ALLOW_PYTHON}=1 to allow it, or use the command line."
        refuse_code(*names, where="The page", remedy=remedy)
    for name in names:
        for path in named(name):
            if not allowed(expanded(path)):
                raise UserError(outside(path))


def _short(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:79]}…"
