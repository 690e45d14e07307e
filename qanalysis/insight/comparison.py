"""Comparison: runs side by side, whatever made them: settings and versions in which they differ, and their ranges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qanalysis.insight.headline import Headline, headline, ranges
from qanalysis.schema.base import Record
from qanalysis.schema.results.common import Result

#: What of the environment can change a result.
_ENVIRONMENT = ("qanalysis", "torch", "machine", "device", "threads")


@dataclass(frozen=True, eq=False)
class Run:
    """A result with the name it is compared under."""

    name: str
    result: Result

    @property
    def headline(self) -> Headline:
        """What it says in one line; of an analysis that has no headline, only its name."""
        return headline(self.result) or Headline(what=_analysis(self.result))


class Difference(Record):
    """A setting in which runs differ.

    Attributes:
        setting: its name.
        values: as text, one for each run, in their order; empty where a run has no such setting.
    """

    setting: str
    values: tuple[str, ...]


def differences(runs: Sequence[Run]) -> tuple[Difference, ...]:
    """Settings, versions and machine in which at least two of the runs differ, settings first."""
    columns = [_settings(run.result) for run in runs]
    names = list(dict.fromkeys(name for column in columns for name in column))
    found = [Difference(setting=name, values=tuple(column.get(name, "") for column in columns)) for name in names]
    return tuple(one for one in found if len(set(one.values)) > 1)


def shared_ranges(runs: Sequence[Run]) -> dict[str, tuple[float | None, ...]]:
    """Activation → its range in each run; activations that every run with ranges has, in the order of the first.

    Runs without ranges (a benchmark) give None.
    """
    known: list[Mapping[str, float | None]] = [ranges(run.result) for run in runs]
    with_ranges = [one for one in known if one]
    if len(with_ranges) < 2:
        return {}
    common = [key for key in with_ranges[0] if all(key in one for one in with_ranges)]
    return {key: tuple(one.get(key) for one in known) for key in common}


def _settings(result: Result) -> dict[str, str]:
    params = getattr(result, "params", None)
    values = {"analysis": _analysis(result)}
    if params is not None:
        effective = getattr(params, "effective_plan", None)
        plan = None if effective is None else effective()
        # what a plan says counts, whether it was saved or described by parameters
        of_plan = set() if plan is None else {"plan", "bits", *type(plan).model_fields}
        names = [name for name in type(params).model_fields if name not in of_plan]
        values |= {name.replace("_", " "): _text(getattr(params, name)) for name in names}
        if plan is not None:
            values |= {name.replace("_", " "): _text(getattr(plan, name)) for name in type(plan).model_fields}
    environment = {name: str(getattr(result.environment, name)) for name in _ENVIRONMENT}
    return values | {f"{name} (environment)": value for name, value in environment.items()}


def _analysis(result: Result) -> str:
    return str(getattr(result, "analysis", type(result).__name__))


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, frozenset):
        return ", ".join(sorted(value))
    if isinstance(value, tuple):
        return ", ".join(_text(part) for part in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_text(part)}" for name, part in value.items())
    if isinstance(value, Record):
        given = value.model_dump(exclude_none=True)
        return str(given.get("name") or " ".join(f"{name} {part}" for name, part in given.items()))
    return "" if value is None else str(value)
