"""Document: what a report says, before it is HTML or Markdown."""

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go


@dataclass(frozen=True)
class Text:
    """A paragraph, plain."""

    words: str


@dataclass(frozen=True)
class Points:
    """A list of sentences, plain."""

    items: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Table:
    """A table with what it shows."""

    frame: pd.DataFrame
    caption: str


@dataclass(frozen=True, eq=False)
class Figure:
    """An interactive figure with how to read it; in Markdown only the words are left.

    Attributes:
        figure: drawn in the light theme.
        title: what it shows.
        how_to_read: for a newcomer.
    """

    figure: go.Figure
    title: str
    how_to_read: str


@dataclass(frozen=True)
class Code:
    """Something to type, or a file to save.

    Attributes:
        text: verbatim.
        language: bash, python or toml.
    """

    text: str
    language: str


Block = Text | Points | Table | Figure | Code


@dataclass(frozen=True)
class Section:
    """A heading and what is below it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A report."""

    title: str
    lead: str
    sections: tuple[Section, ...]
