"""Case: one line of the table, and the ways to run it."""

import io
import re
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

from qanalysis.cli import main
from qanalysis.schema.errors import LONGEST

#: Seconds within which every case has to be answered.
PATIENCE = 10.0
#: What an input that is executed would leave in the folder of its case.
SENTINEL = "executed"


@dataclass(frozen=True)
class Answer:
    """What came of a case.

    Attributes:
        code: exit code; 0 where all went well.
        said: the sentence about what is wrong, or what was printed.
        seconds: how long it took.
    """

    code: int
    said: str
    seconds: float = 0.0


Run = Callable[[Path], Answer]


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes:
        name: what is odd about it.
        run: makes it in an empty folder, and gives the answer.
        says: what must be in the sentence (a regular expression).
        code: the exit code: 1 for what a person can mend, 0 for what works.
        never: what must not be in it.
    """

    name: str
    run: Run
    says: str = ""
    code: int = 1
    never: tuple[str, ...] = field(default=("Traceback",))


def cli(*words: str, make: Callable[[Path], object] | None = None) -> Run:
    """A command line; `{folder}` in a word is the folder of the case, and `make` puts what it needs into that."""

    def run(folder: Path) -> Answer:
        if make is not None:
            make(folder)
        printed, errors = io.StringIO(), io.StringIO()
        start = time.perf_counter()
        with redirect_stdout(printed), redirect_stderr(errors):
            try:
                code = main([word.replace("{folder}", str(folder)) for word in words])
            except SystemExit as end:  # argparse's own
                code = 1 if end.code else 0
                return Answer(code, errors.getvalue().strip().splitlines()[-1], time.perf_counter() - start)
        seconds = time.perf_counter() - start
        return Answer(code, errors.getvalue().strip() if code else printed.getvalue(), seconds)

    return run


def python(call: Callable[[Path], object]) -> Run:
    """A call of the library; what it raises must be an error for people, else the case fails with it."""
    from qanalysis.schema.errors import sentence

    def run(folder: Path) -> Answer:
        start = time.perf_counter()
        try:
            result = call(folder)
        except Exception as error:
            told = sentence(error)
            if told is None and not isinstance(error, ValueError):
                raise
            return Answer(1, told or str(error), time.perf_counter() - start)
        return Answer(0, str(result), time.perf_counter() - start)

    return run


def check(case: Case, folder: Path) -> None:
    """Runs a case and asks what holds for all of them."""
    answer = case.run(folder)
    assert answer.code == case.code, answer.said
    assert answer.seconds < PATIENCE
    assert not (folder / SENTINEL).exists(), "something out of a file was executed"
    if answer.code:
        assert "\n" not in answer.said
        assert len(answer.said) <= LONGEST + len("qanalysis: ")
        assert "fault of qanalysis" not in answer.said
    assert all(word not in answer.said for word in case.never)
    assert re.search(case.says, answer.said), answer.said
