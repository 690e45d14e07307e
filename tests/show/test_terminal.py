"""What the terminal prints: the tables of pages and reports, missing numbers as dashes, names as one types them."""

import io

import pandas as pd
import pytest
from rich.console import Console

from qanalysis.schema.analyses import COMMANDS
from qanalysis.show import terminal
from qanalysis.show.terminal.frame import drawn
from tests.schema.instances import INSTANCES


def printed(write, width: int = 160) -> str:
    out = io.StringIO()
    write(Console(file=out, width=width))
    return out.getvalue()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_result_is_printed(name):
    text = printed(lambda console: terminal.result(console, INSTANCES[name]))
    assert INSTANCES[name].model.name in text
    assert "nan" not in text


def test_calibrations_are_named_as_one_types_them():
    text = printed(lambda console: terminal.result(console, INSTANCES["ptq"]))
    assert all(row.calibration in text for row in INSTANCES["ptq"].rows)


def test_numbers_stand_to_the_right_and_missing_ones_are_dashes():
    frame = pd.DataFrame({"what": ["a", ""], "ms": [1.25, None], "chosen": ["", "★"]})
    text = printed(lambda console: console.print(drawn(frame, columns=("what", "ms"), title="times", bold="chosen")))
    assert "times" in text
    assert "chosen" not in text
    rows = [line for line in text.splitlines() if line.startswith("│")]
    assert [row.split("│")[1:-1] for row in rows] == [[" a    ", " 1.25 "], ["      ", "    - "]]
