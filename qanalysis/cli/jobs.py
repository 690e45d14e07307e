"""`qanalysis jobs`: list, show, cancel, resume, retry and delete jobs, whoever started them."""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from qanalysis import tracking
from qanalysis.jobs import runners
from qanalysis.jobs.state import Job
from qanalysis.jobs.store import Store
from qanalysis.jobs.summary import duration, settings, size
from qanalysis.schema.errors import UserError

_VERBS = {
    "show": "everything about one job",
    "cancel": "take a job out of the queue, or end its process",
    "resume": "go on with a failed, cancelled or lost job from what it measured",
    "retry": "start a job over that has ended",
    "delete": "remove a job that has ended, and its files",
    "pin": "list a job first, and do not let it be deleted",
    "unpin": "the opposite of pin",
    "log": "send a finished job's result to TensorBoard or MLflow",
    "note": "write a note beside a job; an empty one removes it",
}
_STYLES = {"running": "cyan", "finished": "green", "failed": "red", "lost": "yellow"}


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to the parser."""
    jobs = commands.add_parser("jobs", help="jobs of the dashboard: " + ", ".join(["list", *_VERBS]))
    verbs = jobs.add_subparsers(dest="verb", required=True, metavar="VERB")
    listing = verbs.add_parser("list", help="the newest jobs, newest first")
    listing.add_argument("--limit", type=int, default=50, help="how many at the most (default: 50)")
    listing.add_argument("--json", action="store_true", help="as JSON")
    for verb, summary in _VERBS.items():
        command = verbs.add_parser(verb, help=summary, description=summary)
        command.add_argument("id", help="the job's id, or an end of it that no other job's has")
        if verb == "log":
            command.add_argument("target", help="tensorboard:FOLDER or mlflow:URI")
        if verb == "note":
            command.add_argument("text", help="the note")
        if verb == "show":
            command.add_argument("--json", action="store_true", help="as JSON, with all rows")


def run(options: argparse.Namespace, console: Console) -> int:
    """Executes the command.

    Raises:
        KeyError: if there is no such job.
        UserError: if the job is not in a state for it, or its id is cut too short.
    """
    runner = runners.chosen()
    if options.verb == "list":
        _list(runner.store, console, options)
        return 0
    job_id = found(runner.store, options.id)
    if options.verb == "show":
        _show(runner.store, console, job_id, options.json)
        return 0
    if options.verb == "log":
        result = runner.store.result(runner.store.job(job_id))
        console.print(tracking.send(result, options.target), highlight=False, soft_wrap=True)
        return 0
    label = runner.store.label
    change: dict[str, Callable[[str], None]] = {
        "cancel": runner.cancel,
        "resume": runner.resume,
        "retry": runner.retry,
        "delete": runner.delete,
        "pin": partial(label, pinned=True),
        "unpin": partial(label, pinned=False),
        "note": partial(label, note=getattr(options, "text", None)),
    }
    change[options.verb](job_id)
    done = {"delete": "deleted", "pin": "pinned", "unpin": "not pinned", "note": "noted"}
    state = done.get(options.verb) or runner.store.job(job_id).state
    console.print(f"{job_id}: {state}", highlight=False, soft_wrap=True)
    return 0


def found(store: Store, text: str) -> str:
    """The id that is this text, or the only one that ends with it.

    Raises:
        UserError: if several end with it.
        KeyError: if none does.
    """
    ids = [job.id for job in store.jobs(limit=10_000)]
    if text in ids:
        return text
    ends = [job_id for job_id in ids if job_id.endswith(text)]
    if len(ends) > 1:
        raise UserError(f"{len(ends)} jobs end with {text!r}, among them {ends[0]} and {ends[1]}: write more of it.")
    if not ends:
        raise UserError(f"There is no job {text!r} in {store.root}; `qanalysis jobs list` names them.")
    return ends[0]


def _list(store: Store, console: Console, options: argparse.Namespace) -> None:
    jobs = store.jobs(options.limit)
    if options.json:
        print(json.dumps([_record(job) for job in jobs], indent=1))
        return
    table = Table(box=None)
    for name in ("state", "id", "model", "data", "created", "took", "progress"):
        table.add_column(name, overflow="fold", no_wrap=name in ("state", "id"))
    for job in jobs:
        progress = f"{100 * job.progress:.0f} %" if job.state != "queued" else job.waits
        created = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.created))
        state = Text(job.state, _STYLES.get(job.state, ""))
        took = duration(job.seconds) if job.seconds else ""
        name = f"{job.id} (pinned)" if job.pinned else job.id
        table.add_row(state, name, job.params.model, job.params.data, created, took, progress)
    console.print(table if jobs else f"There are no jobs in {store.root}.")


def _show(store: Store, console: Console, job_id: str, as_json: bool) -> None:
    job = store.job(job_id)
    files = store.files(job_id)
    if as_json:
        print(json.dumps({**_record(job), "files": files, "folder": str(store.folder(job_id))}, indent=1))
        return
    lines = {
        "job": job.id,
        "state": job.state + (f" ({job.waits})" if job.waits else ""),
        "error": job.error,
        "found": job.headline,
        "note": job.note,
        "pinned": "yes" if job.pinned else "",
        "model": job.params.model,
        "data": job.params.data,
        **settings(job.params),
        "stage": f"{job.stage} {job.done:,} of {job.total:,}" if job.total else "",
        "took": duration(job.seconds),
        "left": "" if job.eta is None else f"about {duration(job.eta)}",
        "attempts": str(job.attempts) if job.attempts > 1 else "",
        "folder": str(store.folder(job_id)),
        "files": ", ".join(f"{name} ({size(count)})" for name, count in files.items()),
    }
    width = max(map(len, lines))
    for name, value in lines.items():
        if value:
            console.print(f"{name:{width}}  {value}", markup=False, highlight=False, soft_wrap=True)


def _record(job: Job) -> dict[str, Any]:
    """The job as JSON has it."""
    values = {field.name: getattr(job, field.name) for field in dataclasses.fields(job)}
    return {**values, "params": job.params.model_dump(mode="json"), "progress": round(job.progress, 4)}
