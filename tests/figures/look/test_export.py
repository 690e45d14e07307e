import csv
import io
import re

from qanalysis.figures.look.export import standalone_html, to_csv
from qanalysis.figures.ptq.ptq import bars
from tests.figures.factories import ptq, ptq_row


def test_page_needs_nothing_from_elsewhere():
    page = standalone_html(bars(ptq()), "PTQ")
    assert len(page) > 1_000_000  # plotly.js is in it
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=", page)


def test_title_and_caption_are_text():
    page = standalone_html(bars(ptq()), "<b>&", caption="a < b")
    assert "<title>&lt;b&gt;&amp;</title>" in page
    assert "<p>a &lt; b</p>" in page


def test_page_has_the_themes_background():
    assert "background: #0e1117" in standalone_html(bars(ptq(), theme="dark"), "PTQ", theme="dark")


def test_rows_as_csv():
    (row,) = csv.DictReader(io.StringIO(to_csv([ptq_row("max", 75.0, 76.0)])))
    assert row["calibration"] == "max"
    assert float(row["relative"]) == 100 * -1.0 / 76.0
    assert (float(row["interval_low"]), float(row["interval_high"])) == (73.8, 76.2)


def test_csv_quotes_what_needs_it():
    assert to_csv([{"layer": 'a,"b"', "cutoff": None}]) == 'layer,cutoff\n"a,""b""",\n'


def test_csv_of_nothing_is_empty():
    assert to_csv([]) == ""
