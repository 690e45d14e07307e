"""Runner: what runs jobs. One is built in (`jobs.local`); a distributed one needs no more than these methods."""

from collections.abc import Sequence
from typing import Protocol

from qanalysis.jobs.store import Store
from qanalysis.schema.params.task import TaskParams


class Runner(Protocol):
    """Starts and stops the processes of jobs; what they are and what they say is in the store.

    Every job is one process of `qanalysis job ID`, wherever the runner runs it. Any number of runners, in any number of
    processes, may work on one store.
    """

    @property
    def store(self) -> Store:
        """Where jobs are read from."""
        ...

    def submit(self, analysis: str, params: TaskParams) -> str:
        """Queues a job and returns its id."""
        ...

    def submit_first(self, analysis: str, params: TaskParams) -> str | None:
        """Queues a job unless exactly this was ever submitted; returns its id if it is new."""
        ...

    def cancel(self, job_id: str) -> None:
        """Takes a job out of the queue or ends its process; does nothing if it has ended.

        Raises:
            KeyError: if there is no such job.
        """
        ...

    def resume(self, job_id: str) -> None:
        """Queues a failed, cancelled or lost job again; it goes on from what it measured.

        Raises:
            KeyError: if there is no such job.
            UserError: if it is live or finished, or the files that it names have changed.
        """
        ...

    def retry(self, job_id: str) -> None:
        """Queues a job that has ended again; what it measured is forgotten.

        Raises:
            KeyError: if there is no such job.
            UserError: if it is live, or the files that it names have changed.
        """
        ...

    def delete(self, job_id: str) -> None:
        """Removes a job and everything it made.

        Raises:
            KeyError: if there is no such job.
            UserError: if it is live.
        """
        ...

    def pump(self) -> None:
        """Notes which processes are gone and starts what fits; any process may call it at any time."""
        ...

    def logs(self, job_id: str) -> str:
        """The end of what the job printed."""
        ...

    def devices(self) -> Sequence[str]:
        """Where jobs can run: `cpu`, `cuda:0`, …"""
        ...
