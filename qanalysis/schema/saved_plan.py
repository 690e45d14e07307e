"""Saved plans: a plan with the sites it was made for, as a file with a name, read by every command and page."""

import difflib
import re
from pathlib import Path
from typing import Literal, Self

from pydantic import ValidationError, field_validator, model_validator

from qanalysis.numerics.calibrate import parse
from qanalysis.schema.base import Record
from qanalysis.schema.catalog import home
from qanalysis.schema.errors import UserError
from qanalysis.schema.plan import Plan
from qanalysis.schema.site import Coverage

_NAME = re.compile(r"[\w][\w .+@-]{0,63}")


class SavedPlan(Record):
    """A plan that can be kept.

    Attributes:
        name: how people call it.
        model: name of the model it was made for.
        sites: all sites of that model: it fits every model with just these.
        calibration: calibration of the activations, where no override names another.
        plan: the plan.
    """

    version: Literal[1] = 1
    name: str
    model: str
    sites: tuple[str, ...]
    calibration: str = "max"
    plan: Plan

    @classmethod
    def of(cls, name: str, model: str, coverage: Coverage, calibration: str, plan: Plan) -> "SavedPlan":
        """A plan of a model with these sites.

        Raises:
            ValidationError: if it is not a good name.
        """
        sites = tuple(site.name for site in coverage.sites)
        return cls(name=name, model=model, sites=sites, calibration=calibration, plan=plan)

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise UserError(
                "a plan's name has 1 to 64 letters, digits, spaces or . + - _ @, and starts with one of the first two"
            )
        return name

    @field_validator("calibration")
    @classmethod
    def _canonical(cls, calibration: str) -> str:
        return str(parse(calibration))

    @model_validator(mode="after")
    def _of_its_sites(self) -> Self:
        unknown = sorted({*self.plan.skip, *self.plan.overrides} - set(self.sites))
        if unknown:
            raise UserError(f"the plan skips or sets {unknown[0]!r}, which is none of its {len(self.sites)} sites")
        return self

    def renamed(self, name: str) -> "SavedPlan":
        """The same plan under another name.

        Raises:
            UserError: if it is not a good name.
        """
        try:
            return SavedPlan(**{**dict(self), "name": name})
        except ValidationError as error:
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise UserError(f"{message[:1].upper()}{message[1:]}, but got {name!r:.80}.") from None

    def check(self, sites: list[str]) -> None:
        """Refuses a plan of another model.

        Raises:
            UserError: naming what differs, and close names.
        """
        unknown, missing = sorted(set(self.sites) - set(sites)), sorted(set(sites) - set(self.sites))
        if not unknown and not missing:
            self.plan.check(sites)
            return
        parts = []
        if unknown:
            close = difflib.get_close_matches(unknown[0], missing or sites, 1)
            hint = f" (the nearest here is {close[0]!r})" if close else ""
            parts.append(f"{len(unknown)} of its sites are not in this model, first {unknown[0]!r}{hint}")
        if missing:
            parts.append(f"{len(missing)} of this model's sites are not in it, first {missing[0]!r}")
        raise UserError(f"Plan {self.name!r} was made for {self.model}, not for this model: {' and '.join(parts)}.")


def plans_folder() -> Path:
    """Where plans are kept; made if it is not there."""
    folder = home() / "plans"
    folder.mkdir(exist_ok=True)
    return folder


def save(plan: SavedPlan) -> Path:
    """Keeps a plan under its name; one of the same name is replaced."""
    path = plans_folder() / f"{plan.name}.json"
    plan.save(path)
    return path


def delete(name: str) -> None:
    """Forgets a plan."""
    (plans_folder() / f"{name}.json").unlink(missing_ok=True)


def saved() -> tuple[str, ...]:
    """Names of all plans that are kept, in alphabetical order."""
    return tuple(sorted(path.stem for path in plans_folder().glob("*.json")))


def find(text: str) -> SavedPlan:
    """The plan of a name, or of a file.

    Raises:
        UserError: if there is neither, naming the nearest names, or the file is no plan.
    """
    kept = plans_folder() / f"{text}.json"
    path = kept if _NAME.fullmatch(text) and kept.is_file() else Path(text)
    if path.is_file():
        return SavedPlan.load(path)
    close = difflib.get_close_matches(text, saved(), 3)
    hint = f"Near to it: {', '.join(close)}." if close else f"Saved plans: {', '.join(saved()) or 'none'}."
    raise UserError(f"There is no plan {text!r}, neither saved nor a file. {hint}")
