"""Engines: the table of what can run jobs, and the one that is used."""

import os
from collections.abc import Callable

from qanalysis.jobs.local import LocalEngine
from qanalysis.jobs.runner import Engine
from qanalysis.jobs.store import Store
from qanalysis.schema.errors import UserError

#: Set when the dashboard is started to run jobs elsewhere than on this machine.
ENGINE = "QANALYSIS_ENGINE"
ENGINES: dict[str, Callable[[Store], Engine]] = {"local": LocalEngine}


def chosen() -> Engine:
    """The engine that `QANALYSIS_ENGINE` names, over the jobs in `QANALYSIS_HOME`.

    Raises:
        UserError: if there is no engine of that name.
    """
    name = os.environ.get(ENGINE) or "local"
    if name not in ENGINES:
        raise UserError(f"Unknown engine {name!r} in {ENGINE}; choose from {', '.join(sorted(ENGINES))}.")
    return ENGINES[name](Store())
