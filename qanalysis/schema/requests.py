"""Requests to a run, as files in its folder, so that no store is needed: to end early and keep what it has."""

from pathlib import Path

_FOLDER = "requests"
_STOP = "stop"


def ask_to_stop(folder: Path) -> None:
    """Asks the job with this folder to end early and keep what it has."""
    requests = folder / _FOLDER
    requests.mkdir(parents=True, exist_ok=True)
    (requests / _STOP).touch()


def stop_asked(folder: Path) -> bool:
    """Whether the job is asked to end early."""
    return (folder / _FOLDER / _STOP).exists()


def forget_stop(folder: Path) -> None:
    """Forgets that the job was asked, when it starts (again)."""
    (folder / _FOLDER / _STOP).unlink(missing_ok=True)
