"""Every line of the table."""

from pathlib import Path

import pytest

from tests.cases import command_line, data, files, models, networks, security, store
from tests.cases.case import Case, check

CASES: tuple[Case, ...] = (
    *command_line.CASES,
    *models.CASES,
    *networks.CASES,
    *data.CASES,
    *files.CASES,
    *security.CASES,
    *store.CASES,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_is_answered(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "case"
    folder.mkdir()
    check(case, folder)


def test_the_table_is_large_and_its_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(names) >= 250
    assert len(set(names)) == len(names)
