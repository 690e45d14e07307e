"""The dashboard as an ASGI app: what `streamlit run dashboard.py` and `qanalysis dashboard` start."""

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

#: The script itself, which is run for every visit, and what starts it.
_SCRIPTS = ("qanalysis.ui.main", "qanalysis.ui.app")


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


app = st.App(
    Path(__file__).with_name("main.py"),
    lifespan=lifespan,
    middleware=[Middleware(Headers)],
    routes=[Mount(f"/{PLOTLY_ROUTE}", StaticFiles(directory=Path(plotly.__file__).parent / "package_data"))],
)
