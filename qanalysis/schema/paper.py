"""The tables of Wu et al. 2020, transcribed in `paper_tables.json`, with the errors found in them.

Every number of the paper that the dashboard shows is in that one file, under its table and row. What can be recomputed
is recomputed by tests: relative changes, best rows, and what tables say about each other.
"""

from functools import lru_cache
from pathlib import Path

from qanalysis.numerics.change import relative
from qanalysis.schema.base import Record

_FILE = Path(__file__).with_name("paper_tables.json")

#: Tables with accuracies, as numbered in the paper.
TABLES = ("3", "4", "5", "6", "7", "8", "11", "12")


class PaperRow(Record):
    """A line of a table, in %.

    Attributes:
        network: as the paper calls it (of its two spellings of BERT, one).
        fp32: accuracy in floating point.
        accuracies: one for each column of the table.
        printed_relative: the relative changes that the paper prints, where it does.
        bold: columns that the paper marks as the best.
        calibration: that the row was measured with, where the table says so.
        layers: quantized layers of the full int8 network (Table 6).
        skipped: layers left in floating point (Table 6).
        task: what the network is for (Table 2).
        metric: what accuracy is (Table 2).
        data: what it was measured on (Table 2).
    """

    network: str
    fp32: float
    accuracies: tuple[float, ...] = ()
    printed_relative: tuple[float, ...] = ()
    bold: tuple[str, ...] = ()
    calibration: str | None = None
    layers: int | None = None
    skipped: int | None = None
    task: str | None = None
    metric: str | None = None
    data: str | None = None

    def relative(self) -> tuple[float, ...]:
        """100 (accuracy - fp32) / fp32 of each column, in %."""
        return tuple(relative(accuracy, self.fp32) for accuracy in self.accuracies)


class PaperTable(Record):
    """A table.

    Attributes:
        title: what it shows.
        columns: names of calibrations as `numerics.calibrate.parse` reads them, or words.
        rows: one for each network.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[PaperRow, ...]

    def row(self, network: str) -> PaperRow:
        """The line of a network.

        Raises:
            KeyError: if the table has none.
        """
        for row in self.rows:
            if row.network == network:
                return row
        raise KeyError(f"This table has no row {network!r}; it has {', '.join(row.network for row in self.rows)}.")


class Schedule(Record):
    """A line of Table 10: how networks were fine-tuned."""

    task: str
    data: str
    optimizer: str
    epochs: int
    learning_rate: float
    batch_size: str


class Claim(Record):
    """A number that the paper's text states.

    Attributes:
        id: to find it by.
        where: section or figure.
        value: as printed.
        what: it is, with its unit.
    """

    id: str
    where: str
    value: float
    what: str


class Erratum(Record):
    """Something that the paper says and its own numbers or a line of algebra refute.

    Attributes:
        id: to find it by.
        where: equation, table or section.
        tables: in which the number is that is affected or that refutes it.
        network: the row, if it is one.
        column: the column, if it is one.
        printed: what the paper says.
        right: what holds.
        why: how one can tell.
    """

    id: str
    where: str
    tables: tuple[str, ...]
    network: str | None = None
    column: str | None = None
    printed: str
    right: str
    why: str


class Paper(Record):
    """Everything that was transcribed.

    Attributes:
        source: of all of it.
        architectures: this project's name of an architecture → the paper's name of the network.
        tables: by number.
        schedules: Table 10.
        claims: numbers in the text.
        errata: errors found.
    """

    source: str
    architectures: dict[str, str]
    tables: dict[str, PaperTable]
    schedules: tuple[Schedule, ...]
    claims: tuple[Claim, ...]
    errata: tuple[Erratum, ...]

    def claim(self, name: str) -> Claim:
        """The number that the text states, by its id."""
        return next(claim for claim in self.claims if claim.id == name)

    def errata_of(self, table: str) -> tuple[Erratum, ...]:
        """What is wrong in, or shown by, a table."""
        return tuple(erratum for erratum in self.errata if table in erratum.tables)


@lru_cache(maxsize=1)
def paper() -> Paper:
    """The transcription."""
    return Paper.load(_FILE)


def paper_row(architecture: str) -> PaperRow | None:
    """The paper's line of Table 5 for an architecture by its name; a sample model is of the same family, no more."""
    network = paper().architectures.get(architecture)
    return None if network is None else paper().tables["5"].row(network)
