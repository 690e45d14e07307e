"""Gathering: the finished results of one model on one data, the newest of each analysis."""

from qanalysis.jobs.store import Store
from qanalysis.schema.results.common import Result

#: Jobs that are looked through at the most.
_MOST = 1000
#: What a report has no section for, or has within others.
_LEFT_OUT = frozenset({"trials", "describe"})


def newest(store: Store, model: str, data: str) -> list[Result]:
    """The newest finished result of every analysis, oldest analysis first; those that cannot be read are left out.

    Args:
        store: where to look.
        model: name of the model.
        data: name of the data.
    """
    found: dict[str, Result] = {}
    for job in store.jobs(_MOST):
        here = (job.params.model, job.params.data) == (model, data)
        if not here or job.state != "finished" or job.analysis in found or job.analysis in _LEFT_OUT:
            continue
        try:
            found[job.analysis] = store.result(job)
        except (ValueError, KeyError):  # deleted, or of another version: the next older one may do
            continue
    return list(found.values())[::-1]
