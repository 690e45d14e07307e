"""How the dashboard is served: its script, what is done at the start, headers and files of its own.

Streamlit takes a file for an app only where `app = st.App(...)` stands in it, word for word; so both files that can be
started (`dashboard.py`, `qanalysis/ui/start/app.py`) say that, and the rest is here.
"""

import gc
import pkgutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import plotly
import streamlit as st
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

import qanalysis.ui
from qanalysis.jobs.heartbeat import heartbeat
from qanalysis.ui.files import allow_open_files
from qanalysis.ui.headers import Headers
from qanalysis.ui.parts.chart import PLOTLY_ROUTE

#: What Streamlit runs for every visit.
SCRIPT = Path(__file__).with_name("main.py")

#: What is run rather than imported: the script itself, and what starts it.
_SCRIPTS = ("qanalysis.ui.main", "qanalysis.ui.start.app")


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[dict[str, Any]]:
    """Imports what the pages need, keeps it out of later garbage collections, and looks after the jobs."""
    allow_open_files()
    # pandas and the figures take half a second, which otherwise the first visitor would wait for.
    for module in pkgutil.walk_packages(qanalysis.ui.__path__, "qanalysis.ui."):
        if module.name not in _SCRIPTS:
            import_module(module.name)
    gc.collect()
    gc.freeze()
    async with heartbeat():
        yield {}


#: The arguments of `st.App` after the script.
SERVING: dict[str, Any] = {
    "lifespan": lifespan,
    "middleware": [Middleware(Headers)],
    "routes": [Mount(f"/{PLOTLY_ROUTE}", StaticFiles(directory=Path(plotly.__file__).parent / "package_data"))],
}
