"""Reporter: turns what an analysis reports into events, few enough that hours of them stay small."""

import contextlib
import threading
import time
from pathlib import Path
from typing import Any

from qanalysis.jobs import adoption
from qanalysis.jobs.store import Store
from qanalysis.schema.errors import StoreError
from qanalysis.schema.params.task import TaskParams
from qanalysis.schema.plan import Plan


class Reporter:
    """A report that writes events.

    Rows are all written. Progress is written at most ten times a second, tables twice, and ever more seldom in a long
    run; a table that was held back is written when its time has come, so that the newest one always arrives.
    """

    def __init__(self, store: Store, job_id: str) -> None:
        self._store = store
        self._job_id = job_id
        self._began = time.monotonic()
        self._progressed = 0.0
        self._tabled = 0.0
        self._held: dict[str, Any] | None = None
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()
        self._stage, self._since, self._from = "", 0.0, 0.0

    def __call__(self, kind: str, **body: Any) -> None:
        """Takes one event."""
        if kind == "progress":
            self._progress(body)
        elif kind == "table":
            self._table(body)
        else:
            self._store.emit(self._job_id, kind, **body)

    def found(self, analysis: str, params: TaskParams) -> Path | None:
        """Folder of a finished job with just these parameters, if there is one (`analysis.workflow.Shelf`)."""
        return adoption.found(self._store, analysis, params)

    def keep(self, analysis: str, params: TaskParams, folder: Path, seconds: float) -> Path:
        """Makes a finished job of a stage, so that pages find it; its folder (`analysis.workflow.Shelf`)."""
        note = f"stage of {self._job_id}"
        return self._store.folder(adoption.adopt(self._store, analysis, params, folder, seconds, note))

    def questions(self) -> list[Plan]:
        """Plans that pages ask for and that have no answer yet (`analysis.trials.Desk`)."""
        return self._store.questions(self._job_id)

    def flush(self) -> None:
        """Writes the table that is held back, if one is."""
        with self._lock:
            held, self._held = self._held, None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if held is not None:
                self._tabled = time.monotonic()
                self._emit("table", held)

    def _flush_late(self) -> None:
        with contextlib.suppress(StoreError):  # the next report meets the same and ends the job with a sentence
            self.flush()

    def _progress(self, body: dict[str, Any]) -> None:
        now = time.monotonic()
        share = body.get("share")
        position = body["done"] if share is None else share
        stage = body["stage"] if share is None else "all"
        if stage != self._stage:
            self._stage, self._since, self._from = stage, now, position
        if 0 < body["done"] < body["total"] and now - self._progressed < min(max(0.1, self._age() / 600), 1.0):
            return
        self._progressed = now
        eta = None
        if position > self._from and now - self._since >= 1:
            left = (body["total"] if share is None else 1.0) - position
            eta = round((now - self._since) / (position - self._from) * left, 1)
        self._emit("progress", {**body, "eta": eta})

    def _table(self, body: dict[str, Any]) -> None:
        interval = min(max(0.5, self._age() / 120), 10.0)
        with self._lock:
            self._held = body
            wait = self._tabled + interval - time.monotonic()
            if wait > 0:
                if self._timer is None:
                    self._timer = threading.Timer(wait, self._flush_late)
                    self._timer.daemon = True
                    self._timer.start()
                return
        self.flush()

    def _age(self) -> float:
        return time.monotonic() - self._began

    def _emit(self, kind: str, body: dict[str, Any]) -> None:
        try:
            self._store.emit(self._job_id, kind, **body)
        except StoreError as error:
            if "in use by another" not in str(error):  # another process is slow: the next one will tell more
                raise
