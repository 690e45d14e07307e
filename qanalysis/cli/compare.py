"""`qanalysis compare`: finished jobs or result files side by side."""

import argparse
import json

from rich.console import Console
from rich.table import Table

from qanalysis.cli import jobs
from qanalysis.insight.comparison import Run, differences, shared_ranges
from qanalysis.jobs import runners
from qanalysis.schema import paths
from qanalysis.schema.analyses import ANALYSES
from qanalysis.schema.errors import UserError
from qanalysis.schema.reading import json_object


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to the parser."""
    summary = "runs side by side: accuracy, speed, and the settings that differ"
    compare = commands.add_parser("compare", help=summary, description=summary)
    compare.add_argument("runs", nargs="+", metavar="RUN", help="id of a finished job, or a result's JSON file")
    compare.add_argument("--json", action="store_true", help="as JSON, with the ranges")


def run(options: argparse.Namespace, console: Console) -> int:
    """Executes the command.

    Raises:
        UserError: if there are fewer than two runs, or one cannot be read.
        KeyError: if there is no such job or file.
    """
    if len(options.runs) < 2:
        raise UserError("Two runs or more are needed to compare.")
    runs = [load(text) for text in options.runs]
    differing = differences(runs)
    if options.json:
        print(
            json.dumps(
                {
                    "runs": {run.name: run.headline.model_dump(mode="json") for run in runs},
                    "differences": {one.setting: one.values for one in differing},
                    "ranges": shared_ranges(runs),
                },
                indent=1,
            )
        )
        return 0
    console.print(_numbers(runs))
    table = Table("set differently", *(run.name for run in runs))
    for one in differing:
        table.add_row(one.setting, *one.values)
    console.print(table if differing else "All settings, versions and the machine are the same.")
    return 0


def load(text: str) -> Run:
    """The run of a result file, or of a job.

    Raises:
        UserError: if the file is no result, or the job has none.
        KeyError: if there is neither.
    """
    path = paths.checked(text)
    if paths.kind(path) != "nothing":
        analysis = json_object(path, "result").get("analysis")
        if not isinstance(analysis, str) or analysis not in ANALYSES:
            raise UserError(f"{path} is no result: its analysis is {analysis!r:.80}.")
        return Run(path.stem, ANALYSES[analysis].result.load(path))
    store = runners.chosen().store
    job = store.job(jobs.found(store, text))
    if job.state != "finished":
        raise UserError(f"{job.id} is {job.state}: only finished jobs have a result.")
    return Run(job.id, store.result(job))


def _numbers(runs: list[Run]) -> Table:
    table = Table("run", "what")
    columns = ("fp32 %", "accuracy %", "relative", "95 % interval", "calibration", "latency", "speed-up")
    for name in columns:
        table.add_column(name, justify="right")
    for one in runs:
        head = one.headline
        table.add_row(
            one.name,
            head.what,
            "" if head.fp32 is None else f"{head.fp32:.2f}",
            "" if head.accuracy is None else f"{head.accuracy:.2f}",
            "" if head.relative is None else f"{head.relative:+.2f} %",
            "" if head.change_interval is None else f"{head.change_interval[0]:+.2f} to {head.change_interval[1]:+.2f}",
            head.calibration or "",
            "" if head.latency_ms is None else f"{head.latency_ms:.3g} ms",
            "" if head.speedup is None else f"{head.speedup:.2f} ×",
        )
    return table
