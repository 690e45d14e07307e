"""The dashboard: `streamlit run dashboard.py`. Pages are in `pages/`, their parts in `qanalysis.ui`."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import plotly
import streamlit as st
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

import qanalysis
from qanalysis.jobs.heartbeat import heartbeat
from qanalysis.ui.chart import PLOTLY_ROUTE


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[dict[str, Any]]:
    """Keeps what is imported by now out of later garbage collections, and looks after the jobs."""
    gc.collect()
    gc.freeze()
    async with heartbeat():
        yield {}


app = st.App(
    Path(qanalysis.__file__).parent / "ui" / "main.py",
    lifespan=lifespan,
    routes=[Mount(f"/{PLOTLY_ROUTE}", StaticFiles(directory=Path(plotly.__file__).parent / "package_data"))],
)
