"""The dashboard: `streamlit run dashboard.py`. Pages are in `pages/`, their parts in `qanalysis.ui`."""

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


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[dict[str, Any]]:
    """Imports what the pages need, keeps it out of later garbage collections, and looks after the jobs."""
    allow_open_files()
    # pandas and the figures take half a second, which otherwise the first visitor would wait for.
    for module in pkgutil.walk_packages(qanalysis.ui.__path__, "qanalysis.ui."):
        if module.name != "qanalysis.ui.main":  # the script itself, which is run for every visit
            import_module(module.name)
    gc.collect()
    gc.freeze()
    async with heartbeat():
        yield {}


app = st.App(
    Path(qanalysis.__file__).parent / "ui" / "main.py",
    lifespan=lifespan,
    middleware=[Middleware(Headers)],
    routes=[Mount(f"/{PLOTLY_ROUTE}", StaticFiles(directory=Path(plotly.__file__).parent / "package_data"))],
)
