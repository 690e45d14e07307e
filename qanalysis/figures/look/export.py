"""Files for other people: a figure as a web page that needs nothing else, rows as CSV."""

import csv
import html
import io
from collections.abc import Iterable, Mapping
from typing import Any

import plotly.graph_objects as go
from pydantic import BaseModel

from qanalysis.figures.look.theme import FONT, PALETTES, Theme

#: Of every figure in a file: no logo, and no button that uploads the chart to Plotly's servers.
CONFIG = {"displaylogo": False, "responsive": True, "showSendToCloud": False, "plotlyServerURL": ""}


def standalone_html(figure: go.Figure, title: str, *, caption: str = "", theme: Theme = "light") -> str:
    """A complete HTML page with the figure, Plotly's script included: it opens without a network.

    Args:
        figure: drawn for the same theme.
        title: heading of the page, plain text.
        caption: how to read the figure, plain text.
        theme: light or dark.
    """
    palette = PALETTES[theme]
    chart = figure.to_html(full_html=False, include_plotlyjs=True, config=CONFIG)
    style = f"margin: 2rem; background: {palette.page}; color: {palette.text}; font-family: {html.escape(FONT)}"
    heading = html.escape(title)
    words = f"<p>{html.escape(caption)}</p>" if caption else ""
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{heading}</title></head>\n'
        f'<body style="{style}">\n<h1>{heading}</h1>\n{chart}\n{words}\n</body>\n</html>\n'
    )


def to_csv(rows: Iterable[BaseModel | Mapping[str, Any]]) -> str:
    """Rows as CSV with a header: all fields in their order; an interval becomes two columns, None an empty cell."""
    flat = [_flat(row.model_dump() if isinstance(row, BaseModel) else row) for row in rows]
    columns = list(dict.fromkeys(key for row in flat for key in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    if columns:
        writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, tuple) and len(value) == 2:
            result[f"{key}_low"], result[f"{key}_high"] = value
        else:
            result[key] = value
    return result
