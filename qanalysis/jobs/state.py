"""State: what a job is, folded from its events and from whether its process is alive."""

import os
import signal
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from qanalysis.schema.params.task import TaskParams

State = Literal["queued", "running", "finished", "failed", "cancelled", "lost"]

#: Events that move a job from one state to another; there are few of them, whatever a job reports.
LIFECYCLE = ("started", "exited", "finished", "failed", "cancelled", "resumed", "retried")


@dataclass(frozen=True)
class Event:
    """Something a job said, or that was said of it: one of `LIFECYCLE`, or progress, row, table."""

    time: float
    kind: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Job:
    """A job as its events tell it.

    Attributes:
        id: its name in the store and of its folder.
        analysis: which analysis it runs.
        params: with which parameters.
        created: when it was submitted, seconds since the epoch.
        state: queued, running, finished, failed, cancelled; lost if its process is gone without a word.
        stage: what it is doing.
        done: samples done in this stage.
        total: samples in this stage.
        share: how much of all stages is done, from 0 to 1; None if the analysis does not say.
        eta: seconds left, of all stages if there is a share, else of this stage; None if it cannot be told yet.
        rows: results so far, one by one.
        table: results so far, all at once; None if the analysis reports no tables.
        error: why it failed, in its own words.
        seconds: how long it has run, or ran, since it was last started.
        ended: when it ended, seconds since the epoch.
        pid: its process while running.
        device: where it waits or runs; empty when it is not live.
        waits: what a queued job waits for.
        attempts: how often it was submitted, resumed or started over.
        headline: what it found, in one line; empty until it has finished.
        note: what somebody wrote beside it.
        pinned: whether it comes first, and is not deleted.
    """

    id: str
    analysis: str
    params: TaskParams
    created: float
    state: State
    stage: str = ""
    done: int = 0
    total: int = 0
    share: float | None = None
    eta: float | None = None
    rows: tuple[dict[str, Any], ...] = ()
    table: dict[str, Any] | None = None
    error: str = ""
    seconds: float = 0.0
    ended: float | None = None
    pid: int | None = None
    device: str = ""
    waits: str = ""
    attempts: int = 1
    headline: str = ""
    note: str = ""
    pinned: bool = False

    @property
    def live(self) -> bool:
        """Whether it may still change by itself."""
        return self.state in ("queued", "running")

    @property
    def progress(self) -> float:
        """How far it is, from 0 to 1: of all stages where known, else of this stage."""
        if self.state == "finished":
            return 1.0
        part = self.done / self.total if self.total else 0.0
        return min(max(part if self.share is None else self.share, 0.0), 1.0)


def fold(job_id: str, analysis: str, params: TaskParams, created: float, events: Iterable[Event]) -> Job:
    """A job's state from its events in order, and from whether its process is alive.

    What an earlier attempt reported is forgotten when a job is resumed or started over: the new one reports again.
    """
    now = time.time()
    fields: dict[str, Any] = {"state": "queued"}
    rows: list[dict[str, Any]] = []
    started: float | None = None
    process: tuple[int, float] | None = None
    last, attempts, exit_code = created, 1, None
    for event in events:
        last = event.time
        match event.kind:
            case "resumed" | "retried":
                fields, rows, started, process, exit_code = {"state": "queued"}, [], None, None, None
                attempts += 1
            case "started":
                fields = {"state": "running"}
                started, process = event.time, (event.body["pid"], event.body["process_started"])
            case "progress":
                fields.update(_progress(event, now))
            case "row":
                rows.append(event.body)
            case "table":
                fields["table"] = event.body
            case "exited":
                exit_code = event.body["code"]
            case "finished" | "failed" | "cancelled":
                if fields["state"] not in ("finished", "cancelled"):  # the first word counts
                    fields.update(state=event.kind, error=event.body.get("error", ""), ended=event.time)
                    fields["headline"] = event.body.get("headline", "")
    if fields["state"] == "running" and process is not None:
        if alive(*process):
            fields["pid"], last = process[0], now
        else:
            fields.update(state="lost", error=_last_words(exit_code), ended=last)
    if fields["state"] not in ("queued", "running"):
        fields["eta"], last = None, fields["ended"]
    seconds = 0.0 if started is None else last - started
    return Job(job_id, analysis, params, created, rows=tuple(rows), seconds=seconds, attempts=attempts, **fields)


def _progress(event: Event, now: float) -> dict[str, Any]:
    known = {name: event.body.get(name) for name in ("stage", "done", "total", "share", "eta")}
    if known["eta"] is not None:
        known["eta"] = max(known["eta"] - (now - event.time), 0.0)
    return known


def _last_words(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        if name == "SIGKILL":
            return "Its process was killed (SIGKILL): by someone, or by the system because memory ran out."
        if name in ("SIGSEGV", "SIGBUS", "SIGILL", "SIGABRT", "SIGFPE"):
            return f"Its process crashed in native code ({name})."
        return f"Its process was ended by {name}."
    if exit_code is not None and exit_code > 0:
        return f"Its process ended with exit code {exit_code} and could not say why; see what it printed."
    return "Its process ended without a word: it was killed, memory ran out, or the machine was restarted."


def alive(pid: int, process_started: float) -> bool:
    """Whether that very process still runs: the start time guards against a reused number."""
    try:
        process = psutil.Process(pid)
        if process_started < 0:  # by `_since_boot`
            same = _since_boot(pid) == process_started
        else:
            same = abs(process.create_time() - process_started) < 1
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def process_identity() -> dict[str, Any]:
    """This process's number and start time, for the `started` event."""
    started = _since_boot(os.getpid())
    return {"pid": os.getpid(), "process_started": psutil.Process().create_time() if started is None else started}


def _since_boot(pid: int) -> float | None:
    """When a process started in the kernel's ticks since it booted, below zero; the fraction tells the boot.

    What psutil gives on Linux is a time of the clock, and moves when somebody sets that. None where there is no /proc.

    Raises:
        psutil.NoSuchProcess: if it is gone.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            raise psutil.NoSuchProcess(pid) from None
        return None
    ticks = int(stat.rpartition(")")[2].split()[19])
    return -(ticks + (zlib.crc32(boot) >> 16) / 2**16)
