"""`qanalysis report`: results of one model as one document."""

import argparse
import importlib.util
from pathlib import Path

from rich.console import Console

from qanalysis.cli import compare
from qanalysis.jobs import runners
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.task import TaskParams
from qanalysis.schema.writing import save_text


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to the parser."""
    summary = "results of one model as one HTML file that opens anywhere, or as Markdown"
    report = commands.add_parser("report", help=summary, description=summary)
    report.add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        help="ids of finished jobs, or results' JSON files; by default the newest job of every analysis",
    )
    fields = TaskParams.model_fields
    for name in ("model", "data"):
        report.add_argument(
            f"--{name}", default=fields[name].default, help=f"whose jobs, without RUN (default: {fields[name].default})"
        )
    report.add_argument("--html", type=Path, metavar="FILE", help="write HTML with interactive figures to FILE")
    report.add_argument("--markdown", type=Path, metavar="FILE", help="write Markdown to FILE")


def run(options: argparse.Namespace, console: Console) -> int:
    """Executes the command.

    Raises:
        UserError: if there is nothing to tell, or no file to tell it in.
        KeyError: if there is no such job or file.
        OSError: if a file cannot be written.
    """
    if options.html is None and options.markdown is None:
        raise UserError("Name a file to write: --html FILE, --markdown FILE, or both.")
    if importlib.util.find_spec("plotly") is None:
        raise UserError("A report needs Plotly: install it with pip install 'qanalysis[ui]'.")
    from qanalysis.show import markdown, web  # Plotly is of the extra `ui`; other commands do without
    from qanalysis.show.report import contents, gather

    if options.runs:
        results = [compare.load(text).result for text in options.runs]
    else:
        results = gather.newest(runners.chosen().store, options.model, options.data)
        if not results:
            raise UserError(
                f"No finished job is about {options.model} on {options.data}: run it in the dashboard first, or name "
                "results' JSON files."
            )
    document = contents.document(results)
    for path, render in ((options.html, web.render), (options.markdown, markdown.render)):
        if path is not None:
            save_text(path, render(document))
            console.print(f"{path}: {len(document.sections)} sections", highlight=False, soft_wrap=True)
    return 0
