"""The section of a result: its title and what is below it; each analysis registers its own."""

from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Any, TypeVar

from qanalysis.schema.results.common import Result
from qanalysis.show.document import Block

F = TypeVar("F", bound=Callable[[Any], Sequence[Block]])
_TITLES: dict[Callable[[Any], Sequence[Block]], str] = {}


@singledispatch
def blocks(result: Result) -> Sequence[Block]:
    """What a report says of a result; nothing for an analysis that has no section."""
    return ()


def title(result: Result) -> str:
    """The heading of that section."""
    return _TITLES.get(blocks.dispatch(type(result)), "")


def titled(heading: str) -> Callable[[F], F]:
    """Registers a function of one kind of result, which its annotation names, as the section under a heading."""

    def register(function: F) -> F:
        _TITLES[function] = heading
        blocks.register(function)
        return function

    return register
