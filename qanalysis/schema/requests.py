"""Requests to a running job, one file each in its folder: plans that `trials` is to measure, and an early end."""

from collections.abc import Collection
from pathlib import Path

from qanalysis.schema.plan import Plan

_FOLDER = "requests"
_STOP = "stop"


def request(folder: Path, plan: Plan) -> None:
    """Asks the job with this folder for a plan; asking twice is asking once."""
    requests = folder / _FOLDER
    requests.mkdir(parents=True, exist_ok=True)
    path = requests / f"{plan.digest}.json"
    if not path.exists():
        plan.save(path)


def pending(folder: Path, answered: Collection[str]) -> list[Plan]:
    """Plans asked for and not answered yet, by digest, in the order of asking; a damaged file is no request."""
    paths = [path for path in (folder / _FOLDER).glob("*.json") if path.stem not in answered]
    plans = []
    for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns):
        try:
            plans.append(Plan.load(path))
        except ValueError:
            path.unlink()
    return plans


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
