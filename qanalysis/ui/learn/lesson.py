"""A lesson: two sentences, equations, one figure that answers, and one question."""

from collections.abc import Callable
from dataclasses import dataclass

from streamlit.delta_generator import DeltaGenerator


@dataclass(frozen=True)
class Lesson:
    """What one address of the Learn page shows.

    Attributes:
        name: in the address.
        title: heading.
        source: section, equations and figures of the paper.
        words: two sentences.
        equations: in LaTeX, one line each.
        figure: draws the interactive part.
        question: one.
        answer: revealed when asked for.
        erratum: what the paper prints wrong here, as a sentence; None if nothing.
    """

    name: str
    title: str
    source: str
    words: str
    equations: tuple[str, ...]
    figure: Callable[[], None]
    question: str
    answer: str
    erratum: str | None = None


def number(column: DeltaGenerator, label: str, value: str, note: str | None = None) -> None:
    """A number in large print, with a smaller note below."""
    column.metric(label, value, note, delta_color="off", delta_arrow="off")
