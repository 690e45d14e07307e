"""Heartbeat: while a dashboard runs, dead processes are noticed and queued jobs start, page open or not."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from qanalysis.jobs import runners

_log = logging.getLogger(__name__)


@asynccontextmanager
async def heartbeat(seconds: float = 2.0) -> AsyncIterator[None]:
    """Pumps the runner in the background as long as the context is open."""
    beating = asyncio.create_task(_beat(seconds))
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating


async def _beat(seconds: float) -> None:
    said = ""
    while True:
        try:
            await asyncio.to_thread(_pump)
            said = ""
        except Exception as error:  # a full disk, a folder that is gone: the dashboard stays up, and it is tried again
            if str(error) != said:
                said = str(error)
                _log.warning("Jobs cannot be looked after: %s", error)
        await asyncio.sleep(seconds)


def _pump() -> None:
    runners.chosen().pump()
