"""HTML of a document: one file that opens without a network, its figures interactive."""

from html import escape

import pandas as pd
from plotly.offline import get_plotlyjs

from qanalysis.figures.look.export import CONFIG
from qanalysis.figures.look.theme import FONT, PALETTES
from qanalysis.show.document import Block, Code, Document, Figure, Points, Section, Table, Text
from qanalysis.show.tables import cell

_PALETTE = PALETTES["light"]
_STYLE = f"""
:root {{ color-scheme: light; }}
body {{ margin: 0 auto; padding: 2rem 1.5rem 5rem; max-width: 1040px; background: {_PALETTE.page};
  color: {_PALETTE.text}; font: 16px/1.55 {FONT}; }}
h1 {{ font-size: 2rem; line-height: 1.2; margin: 0 0 .6rem; }}
h2 {{ margin: 2.6rem 0 .8rem; padding-top: .6rem; border-top: 1px solid {_PALETTE.grid}; }}
.lead {{ font-size: 1.15rem; }}
nav ul {{ columns: 2; padding-left: 1.1rem; }}
figure {{ margin: 1.2rem 0; }}
figcaption, caption {{ color: {_PALETTE.muted}; font-size: .92rem; text-align: left; }}
caption {{ padding-bottom: .4rem; }}
.scroll {{ overflow-x: auto; margin: 1rem 0; }}
table {{ border-collapse: collapse; font-size: .92rem; }}
th, td {{ padding: .3rem .7rem; border-bottom: 1px solid {_PALETTE.grid}; text-align: left; white-space: nowrap; }}
td.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
pre {{ background: {_PALETTE.panel}; border: 1px solid {_PALETTE.grid}; padding: .8rem 1rem; white-space: pre-wrap;
  overflow-wrap: anywhere; font-size: .88rem; border-radius: 6px; }}
@media print {{ nav {{ display: none; }} figure, table {{ break-inside: avoid; }} }}
"""


def render(document: Document) -> str:
    """The document's HTML; Plotly's script is in it once, if there is a figure."""
    figures = any(isinstance(block, Figure) for section in document.sections for block in section.blocks)
    script = f"<script>{get_plotlyjs()}</script>" if figures else ""
    links = "".join(
        f'<li><a href="#{number}">{escape(section.title)}</a></li>' for number, section in enumerate(document.sections)
    )
    body = "\n".join(_section(number, section) for number, section in enumerate(document.sections))
    title = escape(document.title)
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"<style>{_STYLE}</style>{script}</head>\n<body>\n<header><h1>{title}</h1>"
        f'<p class="lead">{escape(document.lead)}</p></header>\n'
        f'<nav aria-label="Contents"><ul>{links}</ul></nav>\n<main>\n{body}\n</main>\n</body>\n</html>\n'
    )


def _section(number: int, section: Section) -> str:
    blocks = "\n".join(_block(block, f"figure-{number}-{place}") for place, block in enumerate(section.blocks))
    return f'<section id="{number}"><h2>{escape(section.title)}</h2>\n{blocks}\n</section>'


def _block(block: Block, name: str) -> str:
    if isinstance(block, Text):
        return f"<p>{escape(block.words)}</p>"
    if isinstance(block, Points):
        return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in block.items) + "</ul>"
    if isinstance(block, Code):
        return f"<pre><code>{escape(block.text.rstrip())}</code></pre>"
    if isinstance(block, Table):
        return f'<div class="scroll">{_table(block)}</div>'
    assert isinstance(block, Figure)
    chart = block.figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=CONFIG)
    caption = f"<strong>{escape(block.title)}</strong> {escape(block.how_to_read)}"
    return f'<figure aria-label="{escape(block.title)}">{chart}<figcaption>{caption}</figcaption></figure>'


def _table(table: Table) -> str:
    frame = table.frame
    head = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in frame.columns)
    numeric = [pd.api.types.is_numeric_dtype(frame[name]) for name in frame.columns]
    rows = []
    for row in frame.itertuples(index=False):
        cells = "".join(
            f'<td class="number">{escape(cell(value))}</td>' if number else f"<td>{escape(cell(value))}</td>"
            for value, number in zip(row, numeric, strict=True)
        )
        rows.append(f"<tr>{cells}</tr>")
    return (
        f"<table><caption>{escape(table.caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )
