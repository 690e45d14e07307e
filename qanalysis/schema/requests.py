"""Requests: plans that a running `trials` job is asked to measure, one file each in the job's folder."""

from collections.abc import Collection
from pathlib import Path

from qanalysis.schema.plan import Plan

_FOLDER = "requests"


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
