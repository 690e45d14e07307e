"""The store of jobs: where it cannot be made, read or written, and what is damaged in it."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from qanalysis.jobs.store import Store
from qanalysis.schema.params.accuracy import DescribeParams, PtqParams
from tests.cases.case import Answer, Case, Run, cli

LIST = ("jobs", "list")


def at_home(*words: str, make: Callable[[Path], object]) -> Run:
    """A command with a home of the case's own, at `home` in its folder."""

    def run(folder: Path) -> Answer:
        before = os.environ.get("QANALYSIS_HOME")
        os.environ["QANALYSIS_HOME"] = str(folder / "home")
        try:
            return cli(*words, make=make)(folder)
        finally:
            if before is None:
                del os.environ["QANALYSIS_HOME"]
            else:
                os.environ["QANALYSIS_HOME"] = before

    return run


def _a_file(folder: Path) -> None:
    (folder / "home").write_text("")


def _below_a_file(folder: Path) -> None:
    (folder / "file").write_text("")
    (folder / "home").symlink_to(folder / "file" / "x")


def _no_database(folder: Path) -> None:
    (folder / "home").mkdir()
    (folder / "home" / "jobs.sqlite").write_text("this is no database, but a text of some length" * 20)


def _a_folder(folder: Path) -> None:
    (folder / "home" / "jobs.sqlite").mkdir(parents=True)


def _newer(folder: Path) -> None:
    (folder / "home").mkdir()
    with sqlite3.connect(folder / "home" / "jobs.sqlite") as database:
        database.execute("pragma user_version = 99")


def _without_tables(folder: Path) -> None:
    store = _good(folder)
    with sqlite3.connect(store.path) as database:
        database.execute("drop table events")


def _good(folder: Path, model: str = "sample:resnet20") -> Store:
    (folder / "home").mkdir(exist_ok=True)
    store = Store(folder / "home")
    store.create("describe", DescribeParams(model=model))
    return store


def _damaged(statement: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        store = _good(folder)
        job = store.create("ptq", PtqParams())
        store.emit(job, "failed", error="x")
        with sqlite3.connect(store.path) as database:
            database.execute(statement, {"job": job})

    return make


def _marked(folder: Path) -> None:
    _good(folder, "sample:[/red][bold]:smile:")


_COMMANDS = {
    "jobs": LIST,
    "report": ("report", "--model", "sample:resnet20", "--html", "out.html"),
    "compare": ("compare", "some-job", "other-job"),
    "plans": ("plans", "list"),
}
_HOMES: dict[str, tuple[Callable[[Path], object], str, tuple[str, ...]]] = {
    "a file": (_a_file, "is a file", tuple(_COMMANDS)),
    "below a file": (_below_a_file, "is a file|cannot be made|cannot be written|no run|no result", tuple(_COMMANDS)),
    "not a database": (_no_database, "is damaged", ("jobs", "report", "compare")),
    "a folder as database": (_a_folder, "cannot be written", ("jobs", "report", "compare")),
    "of a newer program": (_newer, "version 99", ("jobs", "report", "compare")),
    "without its tables": (_without_tables, "is damaged", ("jobs", "report", "compare")),
}
_RECORDS = {
    "parameters that are no JSON": "update jobs set params = '{]' where id = :job",
    "parameters that are a list": "update jobs set params = '[]' where id = :job",
    "parameters of other types": """update jobs set params = '{"model": 3, "data": []}' where id = :job""",
    "an event that is no JSON": "update events set body = '{]' where job = :job",
    "an event of another type": "update events set body = '[3]' where job = :job",
    "an unknown analysis": "update jobs set analysis = 'magic' where id = :job",
    "a time that is text": "update jobs set created = 'yesterday' where id = :job",
}

CASES = (
    *(
        Case(f"a home that is {home}: {name}", at_home(*_COMMANDS[name], make=make), says)
        for home, (make, says, names) in _HOMES.items()
        for name in names
    ),
    *(
        Case(f"a record with {name}", at_home(*LIST, make=_damaged(statement)), "sample:resnet20", code=0)
        for name, statement in _RECORDS.items()
    ),
    Case("markup in a job's model", at_home(*LIST, make=_marked), r"\[/red\]\[bold", code=0),
    Case("no such job", at_home("jobs", "show", "nothing", make=_good), "no job 'nothing'"),
    Case("an id that fits several", at_home("jobs", "show", "", make=lambda f: (_good(f), _good(f))), "jobs end with"),
    *(
        Case(f"jobs {verb} nothing", at_home("jobs", verb, "nothing", make=_good), "no job 'nothing'")
        for verb in ("cancel", "resume", "retry", "delete", "pin", "unpin")
    ),
)
