"""A table on the terminal."""

from collections.abc import Sequence

import pandas as pd
from rich.table import Table

from qanalysis.show.tables import cell


def drawn(frame: pd.DataFrame, *, columns: Sequence[str] = (), title: str | None = None, bold: str = "") -> Table:
    """A table to print: numbers to the right, missing ones as a dash.

    Args:
        frame: one of `show.tables`.
        columns: which to draw, where not all of them fit into a line.
        title: what it shows.
        bold: a column; rows that have something there are bold.
    """
    kept = list(columns) or list(frame.columns)
    table = Table(title=title)
    missing = []
    for name in kept:
        numeric = pd.api.types.is_numeric_dtype(frame[name])
        missing.append("-" if numeric else "")
        table.add_column(str(name), justify="right" if numeric else "left", overflow="fold")
    marked = frame[bold].astype(bool) if bold else pd.Series(data=False, index=frame.index)
    for row, strong in zip(frame[kept].itertuples(index=False), marked, strict=True):
        words = (cell(value) or empty for value, empty in zip(row, missing, strict=True))
        table.add_row(*words, style="bold" if strong else "")
    return table
