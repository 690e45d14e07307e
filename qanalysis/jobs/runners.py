"""Runners: the table of what can run jobs, and the one that is used."""

import os
from collections.abc import Callable

from qanalysis.jobs.local import LocalRunner
from qanalysis.jobs.runner import Runner
from qanalysis.jobs.store import Store
from qanalysis.schema.errors import UserError

#: Set when the dashboard is started to run jobs elsewhere than on this machine.
RUNNER = "QANALYSIS_RUNNER"
RUNNERS: dict[str, Callable[[Store], Runner]] = {"local": LocalRunner}


def chosen() -> Runner:
    """The runner that `QANALYSIS_RUNNER` names, over the jobs in `QANALYSIS_HOME`.

    Raises:
        UserError: if there is no runner of that name.
    """
    name = os.environ.get(RUNNER) or "local"
    if name not in RUNNERS:
        raise UserError(f"Unknown runner {name!r} in {RUNNER}; choose from {', '.join(sorted(RUNNERS))}.")
    return RUNNERS[name](Store())
