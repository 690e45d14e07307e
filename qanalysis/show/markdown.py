"""Markdown of a document: every number as text, for a repository or a chat."""

import re

import pandas as pd

from qanalysis.show.document import Block, Code, Document, Figure, Points, Table, Text
from qanalysis.show.tables import cell

#: What Markdown would read as its own.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|])")


def render(document: Document) -> str:
    """The document's Markdown, ending with a newline."""
    parts = [f"# {escaped(document.title)}", escaped(document.lead)]
    for section in document.sections:
        parts.append(f"## {escaped(section.title)}")
        parts += [text for block in section.blocks if (text := _block(block))]
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Words that Markdown leaves as they are."""
    return _SPECIAL.sub(r"\\\1", text)


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return escaped(block.words)
    if isinstance(block, Points):
        return "\n".join(f"- {escaped(item)}" for item in block.items)
    if isinstance(block, Table):
        return f"{escaped(block.caption)}\n\n{_table(block.frame)}"
    if isinstance(block, Code):
        fence = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`+", block.text)), 3)
        return f"{fence}{block.language}\n{block.text.rstrip()}\n{fence}"
    assert isinstance(block, Figure)
    return ""  # its numbers are in the table beside it


def _table(frame: pd.DataFrame) -> str:
    rows = [[cell(value) for value in row] for row in frame.itertuples(index=False)]
    lines = ["| " + " | ".join(escaped(str(name)) for name in frame.columns) + " |"]
    lines.append("| " + " | ".join("---" for _ in frame.columns) + " |")
    return "\n".join(lines + ["| " + " | ".join(map(escaped, row)) + " |" for row in rows])
