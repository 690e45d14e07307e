"""`qanalysis plans`: list, show, save and delete plans."""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from qanalysis.schema import saved_plan
from qanalysis.schema.analyses import ANALYSES
from qanalysis.schema.errors import UserError
from qanalysis.schema.reading import json_object
from qanalysis.schema.results.sensitivity import PartialResult, PlanResult, SensitivityResult
from qanalysis.schema.saved_plan import SavedPlan


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to the parser."""
    plans = commands.add_parser("plans", help="saved plans: list, show, save, delete")
    verbs = plans.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("list", help="all saved plans")
    show = verbs.add_parser("show", help="a plan as JSON")
    show.add_argument("name", help="name of a saved plan, or a file")
    save = verbs.add_parser("save", help="save a plan under a name, from a file")
    save.add_argument("name", help="its name from now on")
    save.add_argument("file", type=Path, help="a plan's JSON, or a result of sensitivity, partial or plan")
    delete = verbs.add_parser("delete", help="forget a plan")
    delete.add_argument("name")


def run(options: argparse.Namespace, console: Console) -> int:
    """Executes the command.

    Raises:
        UserError: for an unknown name or a file that holds no plan.
    """
    if options.verb == "list":
        _list(console)
    elif options.verb == "show":
        print(saved_plan.find(options.name).model_dump_json(indent=1))
    elif options.verb == "save":
        plan = read(options.file, options.name)
        console.print(f"{plan.name} saved as {saved_plan.save(plan)}", highlight=False, soft_wrap=True)
    else:
        if options.name not in saved_plan.saved():
            raise UserError(
                f"There is no saved plan {options.name!r}; saved are: {', '.join(saved_plan.saved()) or 'none'}."
            )
        saved_plan.delete(options.name)
    return 0


def read(path: Path, name: str) -> SavedPlan:
    """The plan in a file under a new name: a saved plan, or the outcome of an analysis that makes one.

    Raises:
        UserError: if the file holds neither.
    """
    analysis = json_object(path, "plan").get("analysis")
    if analysis is None:
        return SavedPlan.load(path).renamed(name)
    if isinstance(analysis, str) and analysis in ANALYSES:
        result = ANALYSES[analysis].result.load(path)
        if isinstance(result, SensitivityResult | PartialResult | PlanResult):
            return result.saved_plan(name)
    raise UserError(f"{path} is a result of {analysis!r:.80}, which holds no plan; sensitivity, partial and plan do.")


def _list(console: Console) -> None:
    table = Table("plan", "made for", "calibration", "bits", "in floating point")
    for name in saved_plan.saved():
        try:
            kept = saved_plan.find(name)
        except ValueError as error:
            table.add_row(name, f"not readable: {error}", "", "", "")
            continue
        floats = [site for site in kept.sites if not kept.plan.quantizes(site)]
        bits = f"{kept.plan.weight_bits}/{kept.plan.activation_bits}"
        table.add_row(name, kept.model, kept.calibration, bits, f"{len(floats)} of {len(kept.sites)}")
    console.print(table)
