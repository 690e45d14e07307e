"""Results of finished jobs, each read once for all pages and visitors."""

from pathlib import Path

import streamlit as st

from qanalysis.jobs.state import Job
from qanalysis.jobs.store import Store
from qanalysis.schema.results.common import Result


def loaded(job: Job, store: Store | None = None) -> Result:
    """The result of a finished job.

    Args:
        job: finished.
        store: where it is; the one of this server if not given.

    Raises:
        UserError: if its file is missing or not readable.
    """
    return _loaded(str((store or Store()).root), job.id, job.ended)


@st.cache_resource(max_entries=128, show_spinner=False)
def _loaded(root: str, job_id: str, ended: float | None) -> Result:
    """The result; a job that is started over ends at another time."""
    store = Store(Path(root))
    return store.result(store.job(job_id))
