"""The command line: every analysis as a command, its options made from its parameters."""

import argparse
import json
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from qanalysis import names, tracking
from qanalysis.cli import compare, dashboard, engines, jobs, plans, report
from qanalysis.schema import configuration, writing
from qanalysis.schema.analyses import ANALYSES, COMMANDS
from qanalysis.schema.catalog import home
from qanalysis.schema.errors import UserError, fault, sentence, shortened
from qanalysis.schema.params.task import TaskParams
from qanalysis.schema.writing import save_text
from qanalysis.show import terminal


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns 0, 1 after a sentence about what was asked for, or 2 after one about a fault of ours."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except KeyboardInterrupt:
        print("qanalysis: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who read the output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if options.debug:
            traceback.print_exc()
        told = sentence(error)
        if told is not None:
            print(f"qanalysis: {told}", file=sys.stderr)
            return 1
        print(f"qanalysis: {fault(error)} {_trace(error, options.debug)}", file=sys.stderr)
        return 2


def _trace(error: Exception, shown: bool) -> str:
    """Where the traceback is."""
    if shown:
        return "Please report it with the traceback above."
    try:
        path = home() / "last-fault.txt"
        save_text(path, "".join(traceback.format_exception(error)))
        return f"Its traceback is in {path} (--debug prints it)."
    except (UserError, OSError):
        return "--debug prints its traceback."


def _run(options: argparse.Namespace) -> int:
    """Executes a command."""
    if options.command == "models":
        terminal.catalog(_output())
        return 0
    if options.command == "schema":
        print(json.dumps(ANALYSES[options.analysis].result.model_json_schema(), indent=1))
        return 0
    if options.command == "plans":
        return plans.run(options, _output())
    if options.command == "engines":
        return engines.run(options, _output())
    if options.command == "dashboard":
        return dashboard.run(options)
    if options.command == "jobs":
        return jobs.run(options, _output())
    if options.command == "compare":
        return compare.run(options, _output())
    if options.command == "report":
        return report.run(options, _output())
    if options.command == "job":
        from qanalysis.jobs import runners, worker  # of the processes that run jobs alone

        return worker.work(runners.chosen(), options.id)
    if options.command == "run":
        analysis, params = configuration.load(options.file)
        if not options.allow_python:
            remedy = "if you trust it, add --allow-python."
            names.refuse_code(params.model, params.data, params.task, where=str(options.file), remedy=remedy)
        return _analyse(options, analysis, params)
    return _analyse(options, options.command, _given(options))


def params_from(analysis: str, values: dict[str, Any]) -> TaskParams:
    """Checked parameters of an analysis.

    Raises:
        UserError: naming the first option that is out of its domain.
    """
    try:
        return ANALYSES[analysis].params(**values)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:  # of options that do not go together
            raise UserError(f"{message[:1].upper()}{message[1:]}.") from None
        option = "--" + str(first["loc"][0]).replace("_", "-")
        raise UserError(f"{option}: {message} (got {first['input']!r:.80})") from None


def _given(options: argparse.Namespace) -> TaskParams:
    fields = ANALYSES[options.command].params.model_fields
    given = {name: getattr(options, name) for name in fields if getattr(options, name) is not None}
    return params_from(options.command, given)


def _analyse(options: argparse.Namespace, analysis: str, params: TaskParams) -> int:
    if options.log is not None:
        tracking.check(options.log)
    if options.json is not None:
        options.json = writing.check(options.json, "--json")
    from qanalysis.analysis.measure import checkpoint  # PyTorch takes seconds: help and errors come without it
    from qanalysis.analysis.training import processes

    console = Console(stderr=True, markup=False, emoji=False)
    sole = nullcontext() if options.keep is None or not processes.speaks() else writing.sole_writer(options.keep)
    with sole:
        with _ProgressReport(console, options.quiet) as progress:
            result = ANALYSES[analysis].run(params, progress, options.keep)
        if not processes.speaks():
            return 0
        if options.json is not None:
            try:
                result.save(options.json)
            except OSError:  # it took long to make: at least it is printed, and what was measured is kept
                terminal.result(_output(), result)
                raise
        if options.keep is not None:
            checkpoint.remove(options.keep)  # it is all in the result
    terminal.result(_output(), result)
    if options.log is not None:
        _output().print(tracking.send(result, options.log), highlight=False, soft_wrap=True)
    return 0


def _output() -> Console:
    """Standard output; a file or pipe gets lines wide enough for the tables."""
    width = None if sys.stdout.isatty() else 120
    return Console(width=width, markup=False, emoji=False)  # names are text


class _ProgressReport:
    """A report that draws a progress bar for every stage."""

    def __init__(self, console: Console, quiet: bool) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True)
        self._stages: dict[str, TaskID] = {}

    def __enter__(self) -> "_ProgressReport":
        self._progress.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._progress.stop()

    def __call__(self, kind: str, **body: Any) -> None:
        if kind != "progress":
            return
        stage = body["stage"]
        if stage not in self._stages:
            self._stages[stage] = self._progress.add_task(stage, total=body["total"])
        self._progress.update(self._stages[stage], completed=body["done"])


class _Parser(argparse.ArgumentParser):
    """As argparse's, but its errors are sentences like all others, with the same exit code."""

    def error(self, message: str) -> NoReturn:
        """Ends the program with the sentence."""
        self.exit(1, f"qanalysis: {shortened(message, 250)}; see {self.prog} --help.\n")


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser("qanalysis", description="See what int8 quantization does to a network.")
    parser.add_argument(
        "--debug", action="store_true", help="print the traceback of an error, too (before the command)"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("models", help="names of models and data")
    schema = commands.add_parser("schema", help="the JSON schema of a result")
    schema.add_argument("analysis", choices=ANALYSES)
    for name in COMMANDS:
        params = ANALYSES[name].params
        summary = (params.__doc__ or "").strip()
        command = commands.add_parser(name, help=summary, description=summary)
        for field_name, field in params.model_fields.items():
            _add_option(command, field_name, field)
        _add_outcome(command)
    command = commands.add_parser("run", help="the run that a configuration file (TOML) describes")
    command.add_argument("file", type=Path, help="as every page of the dashboard offers it; see docs/runs.md")
    command.add_argument("--allow-python", action="store_true", help="names in the file may import code (python:)")
    _add_outcome(command)
    plans.add(commands)
    dashboard.add(commands)
    jobs.add(commands)
    engines.add(commands)
    compare.add(commands)
    report.add(commands)
    job = commands.add_parser("job")  # started by the dashboard, one process each
    job.add_argument("id")
    return parser


def _add_outcome(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", type=Path, metavar="FILE", help="write the result to FILE")
    command.add_argument("--keep", type=Path, metavar="FOLDER", help="keep files (histograms) in this folder")
    command.add_argument(
        "--log", metavar="TARGET", help="send the result to tensorboard:FOLDER or mlflow:URI, too (extra `tracking`)"
    )
    command.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_option(command: argparse.ArgumentParser, name: str, field: FieldInfo) -> None:
    option = "--" + name.replace("_", "-")
    default = field.default
    described = ",".join(map(str, default)) if isinstance(default, tuple) else default
    help_ = f"{field.description or ''} (default: {described})".replace("%", "%%")
    annotation = field.annotation
    if annotation is bool:
        command.add_argument(option, action=argparse.BooleanOptionalAction, default=None, help=help_)
    elif isinstance(default, tuple):
        split = lambda text: tuple(part.strip() for part in text.split(",") if part.strip())  # noqa: E731
        command.add_argument(option, type=split, metavar="A,B,…", help=help_)
    else:
        types = [part for part in get_args(annotation) if isinstance(part, type)]
        literals = [part for part in get_args(annotation) if isinstance(part, str)]
        kind = (
            annotation if isinstance(annotation, type) else (types[0] if types and types[0] is not type(None) else str)
        )
        if kind not in (int, float, str):
            kind = str  # a plan's name or file: the parameters read it
        metavar = None if literals else name.split("_")[-1].upper()
        command.add_argument(option, type=kind, choices=literals or None, metavar=metavar, help=help_)
